// What is around the gateway: the program that runs it, who writes to it, and who is told by it.

const crypto = require("crypto");
const fs = require("fs");
const http = require("http");
const path = require("path");
const { spawn } = require("child_process");

const { GATEWAY, PRX, HOME_DIR, URL: BASE, TOKEN, SINK, COMPONENTS } = process.env;
const SECRET = Buffer.from("c2VjcmV0LXNlY3JldC1zZWNyZXQ=", "base64");

/** Waits until something is there. */
async function until(what, look, limit = 60_000) {
  for (const end = Date.now() + limit; Date.now() < end; ) {
    const found = await look();
    if (found) return found;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`there was never ${what}`);
}

/** Asks the API, as somebody beside the page does. */
async function api(method, route, body) {
  const answer = await fetch(`${BASE}/api/v1/${route}`, {
    method,
    headers: { authorization: `Bearer ${TOKEN}`, "content-type": "application/json" },
    body: body && JSON.stringify(body),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${method} ${route}: ${answer.status} ${text}`);
  return text && JSON.parse(text);
}

/** A token that may do only this. */
async function token(...scopes) {
  return api("POST", "auth/tokens", { name: "tester", scopes });
}

/** Receives replies and events: `answers[path]` is the status that it gives there, 200 if there is none. */
class Sink {
  constructor() {
    this.answers = {};
    this.taken = [];
    this.server = http.createServer((request, response) => {
      const status = this.answers[request.url] ?? 200;
      this.taken.push({ path: request.url, status });
      request.resume();
      request.on("end", () => response.writeHead(status).end());
    });
  }

  listen() {
    return new Promise((resolve) => this.server.listen(Number(SINK), "127.0.0.1", resolve));
  }

  /** How many were taken there with a status. */
  count(route, status) {
    return this.taken.filter((one) => one.path === route && one.status === status).length;
  }
}

/** Somebody writes to the channel `team`, as the platform behind it does: signed. */
async function write(text) {
  const id = `msg_${crypto.randomUUID()}`;
  const at = Math.floor(Date.now() / 1000);
  const body = JSON.stringify({ conversation: "general", user: { id: "ada", name: "Ada <b>Lovelace</b>" }, text });
  const signature = crypto.createHmac("sha256", SECRET).update(`${id}.${at}.${body}`).digest("base64");
  const answer = await fetch(`${BASE}/in/team`, {
    method: "POST",
    headers: { "content-type": "application/json", "webhook-id": id, "webhook-timestamp": String(at), "webhook-signature": `v1,${signature}` },
    body,
  });
  if (!answer.ok) throw new Error(`in/team: ${answer.status} ${await answer.text()}`);
}

/** A plugin's file, as cargo made it or under another version. */
function component(name, version) {
  const bytes = fs.readFileSync(path.join(COMPONENTS, `prx_${name}.wasm`));
  if (version) {
    const [from, to] = [Buffer.from('version = "0.1.0"'), Buffer.from(`version = "${version}"`)];
    if (from.length !== to.length || !bytes.includes(from)) throw new Error(`${name} can't be made ${version}`);
    for (let at = bytes.indexOf(from); at >= 0; at = bytes.indexOf(from)) to.copy(bytes, at);
  }
  const file = path.join(HOME_DIR, `${name}-${version ?? "0.1.0"}.wasm`);
  fs.writeFileSync(file, bytes);
  return file;
}

/** The process that serves, which may be killed and started again at the same address. */
class Gateway {
  constructor() {
    this.pid = Number(GATEWAY);
  }

  async kill() {
    process.kill(this.pid, "SIGKILL");
    await until("an end of the gateway", () => fetch(`${BASE}/livez`).then(() => false, () => true));
  }

  start() {
    const log = fs.openSync(path.join(HOME_DIR, "log"), "a");
    const data = path.join(HOME_DIR, "data");
    const args = ["serve", "--port", new URL(BASE).port, "--config", path.join(HOME_DIR, "prx.toml"), "--data-dir", data];
    const child = spawn(PRX, args, { stdio: ["ignore", log, log] });
    this.pid = child.pid;
    return until("a gateway", () => fetch(`${BASE}/readyz`).then((answer) => answer.ok, () => false));
  }

  stop() {
    try {
      process.kill(this.pid, "SIGTERM");
    } catch {
      // It has ended.
    }
  }
}

module.exports = { BASE, TOKEN, Gateway, Sink, api, component, token, until, write };
