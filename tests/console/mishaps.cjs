// What goes wrong: the page says so in a sentence, keeps what was typed, and goes on.

const assert = require("assert");
const fs = require("fs");
const path = require("path");
const { expecting } = require("./browser.cjs");
const { BASE, api, token, until } = require("./world.cjs");

const FAILED = /Failed to load resource|net::ERR_/;
const go = (page, place) => page.goto(`${BASE}/console/#/${place}`);
const press = (page, name) => page.getByRole("button", { name, exact: true }).first().click();

async function a_link_that_is_good_for_once({ browser }) {
  const { execFileSync } = require("child_process");
  const { PRX, HOME_DIR } = process.env;
  const at = ["--config", path.join(HOME_DIR, "prx.toml"), "--data-dir", path.join(HOME_DIR, "data")];
  const link = String(execFileSync(PRX, ["console", ...at])).split("\n")[0];
  const page = await browser.open();
  await page.goto(link);
  await page.locator("h1", { hasText: "Overview" }).waitFor();
  assert(!page.url().includes("code"), "the code is nowhere to be seen");
  await page.reload();
  await page.locator("h1", { hasText: "Overview" }).waitFor();
  const other = await browser.open();
  await expecting(other, [FAILED], async () => {
    await other.goto(link);
    await other.locator(".sign-in .wrong").waitFor();
    assert(!other.url().includes("code"));
  });
  // A link may be pasted, too.
  await browser.signIn(other, String(execFileSync(PRX, ["console", ...at])).split("\n")[0]);
  for (const one of [page, other]) await one.context().close();
}

async function a_wrong_token({ browser }) {
  const page = await browser.open();
  const input = page.locator("input[name=token]");
  await expecting(page, [FAILED], async () => {
    await input.fill("prx_wrong");
    await page.keyboard.press("Enter");
    await page.locator(".sign-in .wrong", { hasText: "does not take this token" }).waitFor();
    assert.strictEqual(await input.inputValue(), "prx_wrong", "what was typed stays");
    await input.fill("no token");
    await page.keyboard.press("Enter");
    await page.locator(".sign-in .wrong", { hasText: "neither a token" }).waitFor();
  });
  await browser.signIn(page);
  await press(page, "Sign out");
  await page.locator(".sign-in").waitFor();
  assert.strictEqual(await page.evaluate(() => sessionStorage.length), 0, "nothing is kept");
  await page.context().close();
}

async function a_token_without_scopes({ browser }) {
  const page = await browser.open();
  const made = await token("skills:read");
  await browser.signIn(page, made.token);
  const words = () => page.locator("#main .problem").innerText();
  assert.match(await words(), /does not have the scope status:read/);
  assert.deepStrictEqual(await page.locator("#nav a").allInnerTexts(), ["Skills"], "what it may not see is not offered");
  await go(page, "plugins");
  await page.locator("#main .problem", { hasText: "plugins:read" }).waitFor();
  await browser.check(page, "a page without its scope");
  await browser.shoot(page, "lacks-scope-1280");
  await page.locator("#nav a").click();
  await page.locator("tbody tr").first().waitFor();
  await page.context().close();
  const reader = await browser.open();
  await browser.signIn(reader, (await token("plugins:read", "channels:read", "hooks:read")).token);
  await go(reader, "plugins/daily-digest");
  await reader.locator(".differences").waitFor();
  assert.strictEqual(await reader.locator("#main button").count(), 0, "what it may not do is not offered");
  await reader.context().close();
}

async function a_token_that_ends({ browser }) {
  const page = await browser.open();
  const made = await token("admin");
  await browser.signIn(page, made.token);
  await go(page, "config?find=max_turns");
  await page.locator(".settings button").first().click();
  const dialog = page.locator("dialog").first();
  await dialog.locator("input[type=text]").fill("33");
  await expecting(page, [FAILED], async () => {
    await api("DELETE", `auth/tokens/${made.id}`);
    await dialog.getByRole("button", { name: "Save" }).click();
    const again = page.locator("dialog", { hasText: "Sign in again" });
    await again.locator("input").fill((await token("admin")).token);
    await browser.check(page, "sign in again");
    await page.keyboard.press("Enter");
    await page.locator("#notices .notice", { hasText: "agent.max_turns is changed." }).waitFor();
  });
  const config = await api("GET", "config");
  assert.strictEqual(config.agent.max_turns, 33, "what was to be done is done");
  await page.context().close();
}

async function a_configuration_that_is_refused({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "config?find=max_turns");
  await page.locator(".settings button").first().click();
  const dialog = page.locator("dialog");
  const input = dialog.locator("input[type=text]");
  await expecting(page, [FAILED], async () => {
    await input.fill("as many as you like");
    await page.keyboard.press("Enter");
    await dialog.locator(".wrong", { hasText: "whole number" }).waitFor();
  });
  assert.strictEqual(await input.inputValue(), "as many as you like", "what was typed stays");
  await browser.shoot(page, "config-refused-1280");
  await input.fill("44");
  await page.keyboard.press("Enter");
  await page.locator("#notices .notice", { hasText: "agent.max_turns is changed." }).waitFor();
  await page.context().close();
}

async function a_file_that_is_no_plugin({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "plugins");
  const put = async (name, content) => {
    const file = path.join(process.env.HOME_DIR, name);
    fs.writeFileSync(file, content);
    await page.locator("input[type=file]").setInputFiles(file);
  };
  await put("letter.txt", "Dear gateway");
  await page.locator("#notices .bad", { hasText: "letter.txt is no plugin" }).waitFor();
  await expecting(page, [FAILED], async () => {
    await put("broken.wasm", Buffer.from([0, 0x61, 0x73, 0x6d, 0xd, 0, 1, 0, 0xff, 0xff]));
    await until("a second notice", async () => (await page.locator("#notices .bad").count()) === 2);
  });
  await page.locator("tbody a", { hasText: "daily-digest" }).waitFor();
  await page.context().close();
}

async function a_gateway_that_goes_away_and_comes_back({ browser, gateway }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "chat");
  const input = page.locator(".composer textarea");
  await input.fill("Answer slowly, please");
  await page.keyboard.press("Enter");
  await page.locator(".under-way", { hasText: "One more line" }).waitFor();
  const other = await browser.open();
  await browser.signIn(other);
  await go(other, "channels");
  await other.locator("tbody tr").waitFor();
  for (const one of [page, other]) one.expected.push(FAILED);
  await gateway.kill();
  await page.locator("#banner", { hasText: "does not answer" }).waitFor();
  await input.fill("typed while it was away");
  await browser.check(page, "a gateway that is away");
  await browser.shoot(page, "away-1280");
  await other.locator("#banner", { hasText: "does not answer" }).waitFor();
  await other.locator("tbody tr").waitFor();
  await gateway.start();
  await page.locator("#banner").waitFor({ state: "hidden" });
  await other.locator("#banner").waitFor({ state: "hidden" });
  await other.locator(".badge", { hasText: "connected" }).waitFor();
  // The turn has gone on where it was.
  await page.locator(".message.assistant:not(.under-way)", { hasText: "One more line" }).waitFor();
  assert.strictEqual(await input.inputValue(), "typed while it was away", "what was typed stays");
  await page.waitForTimeout(300);
  for (const one of [page, other]) one.expected.splice(0);
  await page.keyboard.press("Enter");
  await page.locator(".message.assistant em", { hasText: "blue" }).waitFor();
  for (const one of [page, other]) await one.context().close();
}

async function the_page_exchanged_while_it_is_open({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "plugins/console");
  await page.locator(".facts .badge", { hasText: "loaded" }).waitFor();
  await press(page, "Disable");
  await page.locator("dialog", { hasText: "This page is that plugin" }).getByRole("button", { name: "Disable" }).click();
  await page.locator(".facts .badge", { hasText: "disabled" }).waitFor();
  // What is not loaded yet can't be loaded now, and the page says what to do.
  await expecting(page, [FAILED, /./], async () => {
    await page.locator("#nav a[data-nav=audit]").click();
    await page.locator("#main .problem", { hasText: "another version of this page" }).waitFor();
  });
  await api("POST", "plugins/console/enable", {});
  await page.locator("#main .problem button").click();
  await page.locator("h1", { hasText: "Audit" }).waitFor();
  await page.context().close();
}

module.exports = {
  a_link_that_is_good_for_once, a_wrong_token, a_token_without_scopes, a_token_that_ends, a_configuration_that_is_refused, a_file_that_is_no_plugin,
  a_gateway_that_goes_away_and_comes_back, the_page_exchanged_while_it_is_open,
};
