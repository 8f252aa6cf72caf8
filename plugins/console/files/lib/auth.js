// Who looks at the page: a token, kept for as long as the tab is open, and what it may do.

import { ApiError, request, setCredentials } from "./api.js";
import { text } from "../text.js";

const KEY = "prx-token";
const ADMIN = "admin";

/** `change` when somebody signs in or out. */
export const auth = new EventTarget();

let token = stored();
/** The token's name, its scopes and when it ends; null before that is known. */
let self = null;
/** Who waits for somebody to sign in again. */
let waiting = null;

/** Whether there is a token to ask with. */
export function isSignedIn() {
  return token !== null && self !== null;
}

/** What is known of the token. */
export function whoIsSignedIn() {
  return self;
}

/** Whether the token is good for a scope. */
export function may(scope) {
  return !scope || (self?.scopes.some((held) => held === scope || held === ADMIN) ?? false);
}

/** Takes up what the tab has kept; says whether there was a token that is still good. */
export async function resume() {
  if (token === null) return false;
  try {
    await learn();
    auth.dispatchEvent(new Event("change"));
    return true;
  } catch (error) {
    if (error.status === 401) forget();
    throw error;
  }
}

/** Signs in with a token, or with a link that has a code in it. Throws an error whose message is for people. */
export async function signIn(typed) {
  const [, code] = typed.match(/#code=([\w-]+)/) ?? [];
  if (code) return exchange(code);
  const before = token;
  token = typed.trim();
  // A header takes no other characters, and no token has them.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    token = before;
    throw new ApiError({ message: text.signIn.noToken });
  }
  try {
    await learn();
  } catch (error) {
    token = before;
    if (error.status === 401) throw new ApiError({ ...error, message: text.signIn.wrong(error.message) });
    throw error;
  }
  keep(token);
  auth.dispatchEvent(new Event("change"));
  waiting?.resolve();
  waiting = null;
}

/** Signs in with a code that is good for once. */
export async function exchange(code) {
  const answer = await request("POST", "auth/exchange", { body: { code }, open: true });
  await signIn(answer.data.token);
}

/** Forgets the token here; it stays good. */
export function signOut() {
  forget();
  auth.dispatchEvent(new Event("change"));
}

/** Resolves once somebody has signed in again. */
function signedInAgain() {
  if (!waiting) {
    const { promise, resolve } = withResolvers();
    waiting = { promise, resolve };
    forget();
    auth.dispatchEvent(new Event("expired"));
  }
  return waiting.promise;
}

async function learn() {
  self = (await request("GET", "auth/self", { own: true })).data;
}

function withResolvers() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

function stored() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    // The page is not of the gateway's origin: it was not served as it came with the gateway.
    return null;
  }
}

function keep(value) {
  try {
    sessionStorage.setItem(KEY, value);
  } catch {
    // It is kept until the page is left.
  }
}

function forget() {
  token = null;
  self = null;
  try {
    sessionStorage.removeItem(KEY);
  } catch {
    // There was nothing kept.
  }
}

setCredentials({ token: () => token, refused: signedInAgain });
