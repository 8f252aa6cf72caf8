// A login to an MCP server in a tab of its own: where it ends, that tab tells the one that it was begun on.

const CHANNEL = "prx-mcp-login";

/** Where a login leads back to. */
export function redirectUri() {
  return new URL(location.pathname, location.origin).href;
}

/** Whether a login ends in this tab. It is told to the tab that waits, and the code is taken out of the address. */
export function endsHere() {
  const query = new URLSearchParams(location.search);
  if (!query.has("state") || !(query.has("code") || query.has("error"))) return false;
  const channel = new BroadcastChannel(CHANNEL);
  channel.postMessage(location.href);
  channel.close();
  history.replaceState(null, "", location.pathname);
  return true;
}

/** Calls `end` with the address at which the login that began at `url` ends. What this gives stops waiting for it. */
export function whenEnded(url, end) {
  const state = new URL(url).searchParams.get("state");
  const channel = new BroadcastChannel(CHANNEL);
  channel.onmessage = ({ data }) => {
    if (new URL(data).searchParams.get("state") === state) end(data);
  };
  return () => channel.close();
}
