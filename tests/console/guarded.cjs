// An MCP server that wants a login, and its authorization server: https://modelcontextprotocol.io/specification/2025-06-18/basic/authorization

const http = require("http");

const TOKEN = "guarded-token";
const CODE = "guarded-code";

class Guarded {
  static async start() {
    const guarded = new Guarded();
    guarded.server = http.createServer((request, response) => guarded.take(request, response));
    await new Promise((resolve) => guarded.server.listen(0, "127.0.0.1", resolve));
    guarded.origin = `http://127.0.0.1:${guarded.server.address().port}`;
    return guarded;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  async take(request, response) {
    let body = "";
    for await (const piece of request) body += piece;
    const { pathname, searchParams } = new URL(request.url, this.origin);
    const answer = (status, content, headers = {}) => response.writeHead(status, { "content-type": "application/json", ...headers }).end(content && JSON.stringify(content));
    if (pathname.startsWith("/.well-known/oauth-protected-resource")) return answer(200, { resource: `${this.origin}/mcp`, authorization_servers: [this.origin] });
    if (pathname === "/.well-known/oauth-authorization-server") return answer(200, this.metadata());
    if (pathname === "/register") return answer(201, { ...JSON.parse(body), client_id: "prx", token_endpoint_auth_method: "none" });
    if (pathname === "/authorize") return this.ask(searchParams, response);
    if (pathname === "/token") {
      const isKnown = new URLSearchParams(body).get("code") === CODE;
      return isKnown ? answer(200, { access_token: TOKEN, token_type: "Bearer", expires_in: 3600 }) : answer(400, { error: "invalid_grant" });
    }
    if (pathname !== "/mcp") return answer(404);
    if (request.headers.authorization !== `Bearer ${TOKEN}`) {
      const where = `Bearer resource_metadata="${this.origin}/.well-known/oauth-protected-resource/mcp"`;
      return answer(401, { error: "unauthorized" }, { "www-authenticate": where });
    }
    if (request.method !== "POST") return answer(405);
    const { id, method, params } = JSON.parse(body);
    return id === undefined ? answer(202) : answer(200, { jsonrpc: "2.0", id, result: this.result(method, params) });
  }

  metadata() {
    return {
      issuer: this.origin, authorization_endpoint: `${this.origin}/authorize`, token_endpoint: `${this.origin}/token`, registration_endpoint: `${this.origin}/register`,
      response_types_supported: ["code"], grant_types_supported: ["authorization_code"], code_challenge_methods_supported: ["S256"],
      token_endpoint_auth_methods_supported: ["none"],
    };
  }

  /** The page on which a person agrees. */
  ask(query, response) {
    const back = new URL(query.get("redirect_uri"));
    back.searchParams.set("code", CODE);
    back.searchParams.set("state", query.get("state"));
    response.writeHead(200, { "content-type": "text/html" }).end(`<!doctype html><title>Agree</title><a href="${back.href.replaceAll("&", "&amp;")}">Agree</a>`);
  }

  result(method, params) {
    if (method === "initialize") return { protocolVersion: params.protocolVersion, capabilities: { tools: {} }, serverInfo: { name: "guarded", version: "1" } };
    if (method === "tools/list") return { tools: [{ name: "open", description: "Opens", inputSchema: { type: "object" } }] };
    return {};
  }
}

module.exports = { Guarded };
