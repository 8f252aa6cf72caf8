// What people do on the page, each to its end.

const assert = require("assert");
const { Guarded } = require("./guarded.cjs");
const { BASE, api, component, until, write } = require("./world.cjs");

const said = (page, words) => page.locator("#notices .notice", { hasText: words }).first().waitFor();
const go = (page, place) => page.goto(`${BASE}/console/#/${place}`);
const press = (page, name) => page.getByRole("button", { name, exact: true }).first().click();

async function a_chat_with_a_question({ browser }) {
  for (const width of [1280, 390]) {
    const page = await browser.open(width);
    await browser.signIn(page);
    await go(page, "chat");
    const input = page.locator(".composer textarea");
    await page.locator("#main select").first().waitFor();
    await input.fill("Why is the sky blue?");
    await page.keyboard.press("Enter");
    await page.locator(".message.assistant em", { hasText: "blue" }).waitFor();
    await input.fill("Please greet Ada");
    await page.keyboard.press("Enter");
    await page.locator(".question").waitFor();
    await browser.check(page, `a question ${width}`);
    await browser.shoot(page, `chat-question-${width}`);
    // By the keyboard: allowed.
    await page.locator(".question button", { hasText: "Allow" }).focus();
    await page.keyboard.press("Enter");
    await page.locator(".message.assistant strong", { hasText: "Ada" }).waitFor();
    await page.locator(".call summary").click();
    await page.locator(".call pre", { hasText: "Hello" }).waitFor();
    await input.fill("Please greet her again");
    await page.keyboard.press("Enter");
    await page.locator(".question button", { hasText: "Deny" }).click();
    await page.locator(".composer button:text-is('Send')").waitFor();
    await input.fill("Now say markup");
    await page.keyboard.press("Enter");
    await page.locator(".message", { hasText: "<img src=x onerror=alert(1)>" }).waitFor();
    assert.strictEqual(await page.locator("#main img, #main a[href^='javascript']").count(), 0, "what is said stays text");
    await browser.shoot(page, `chat-${width}`);
    await page.context().close();
  }
}

async function a_reply_as_it_is_written_and_stopped({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "chat");
  await page.locator(".composer textarea").fill("Answer slowly");
  await press(page, "Send");
  const length = async () => (await page.locator(".under-way").innerText()).length;
  await page.locator(".under-way", { hasText: "One more line" }).waitFor();
  // What is typed meanwhile is sent when the reply is there.
  await page.locator(".composer textarea").fill("And why is the sky blue?");
  await page.keyboard.press("Enter");
  const first = await length();
  await until("more of the reply", async () => (await length()) > first);
  await browser.shoot(page, "chat-streaming-1280");
  const session = page.url().split("/").pop();
  await press(page, "Stop");
  await page.locator(".message .tag", { hasText: "stopped" }).waitFor();
  await page.locator(".message.assistant em", { hasText: "blue" }).waitFor();
  // Another tab, and the session's own page, show the same.
  await go(page, `sessions/${session}`);
  await page.locator(".message", { hasText: "One more line" }).waitFor();
  await go(page, `chat/${session}`);
  await page.locator(".message", { hasText: "Answer slowly" }).waitFor();
  await page.context().close();
}

async function a_session_as_it_goes_on({ browser }) {
  const { id } = await api("POST", "sessions", { channel: "api", user_id: "grace" });
  const page = await browser.open();
  const followed = page.waitForRequest(`${BASE}/api/v1/events`);
  await browser.signIn(page);
  // What happens is told to the page, which need not ask from time to time.
  await followed;
  await go(page, `sessions/${id}`);
  await page.locator(".empty", { hasText: "Nothing was said yet" }).waitFor();
  await api("POST", `sessions/${id}/messages`, { content: "Hello from elsewhere" });
  await page.locator(".message.assistant em", { hasText: "blue" }).waitFor();
  // A question of a turn that somebody else has begun is answered here.
  const asked = api("POST", `sessions/${id}/messages`, { content: "Now greet Ada" });
  await page.locator(".questions .question button", { hasText: "Allow" }).click();
  await asked;
  await page.locator(".message", { hasText: "is greeted" }).waitFor();
  await press(page, "End session");
  await page.locator("dialog button", { hasText: "End session" }).click();
  await said(page, "The session is ended.");
  await page.locator(".facts .badge", { hasText: "terminated" }).waitFor();
  await page.context().close();
}

async function a_plugin_dropped_in_granted_reloaded_and_rolled_back({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "plugins");
  await page.locator(".drop").waitFor();
  // That something is missing is an answer with an error's status.
  page.expected.push(/status of 40[49]/);
  await drop(page, component("weather"));
  const dialog = page.locator("dialog");
  await dialog.locator("li.lacks", { hasText: "https://api.open-meteo.com" }).waitFor();
  await browser.check(page, "grants");
  await browser.shoot(page, "install-1280");
  // Neither key grants anything.
  for (const key of ["Escape", "Enter"]) {
    await page.keyboard.press(key);
    await dialog.waitFor({ state: "detached" });
    assert(!(await api("GET", "plugins")).plugins.some(({ name }) => name === "weather"), "nothing half done");
    await drop(page, component("weather"));
    await dialog.waitFor();
  }
  await dialog.getByRole("button", { name: "Grant and install" }).click();
  await said(page, "weather is installed.");
  await page.locator("h1", { hasText: "weather" }).waitFor();
  page.expected.splice(0);
  assert.strictEqual(await page.locator(".differences .has").count(), 2);
  await press(page, "Reload");
  await said(page, "weather 0.1.0 is reloaded");
  await page.locator("input[type=file]").setInputFiles(component("weather", "0.2.0"));
  await said(page, "weather has its new code.");
  await page.locator(".facts dd", { hasText: "0.2.0" }).waitFor();
  await press(page, "Roll back");
  await dialog.getByRole("button", { name: "Roll back" }).click();
  await said(page, "weather is back at 0.1.0");
  await press(page, "Disable");
  await dialog.getByRole("button", { name: "Disable" }).click();
  await page.locator(".facts .badge", { hasText: "disabled" }).waitFor();
  await press(page, "Enable");
  await page.locator(".facts .badge", { hasText: "loaded" }).waitFor();
  await press(page, "Edit grants");
  await dialog.locator("textarea").first().fill("https://api.open-meteo.com");
  await dialog.getByRole("button", { name: "Save" }).click();
  await page.locator("#main .differences .lacks", { hasText: "geocoding" }).waitFor();
  await browser.shoot(page, "plugin-lacks-1280");
  await press(page, "Grant what is missing");
  await dialog.getByRole("button", { name: "Grant" }).click();
  await page.locator("#main .differences .lacks").waitFor({ state: "detached" });
  await page.context().close();
}

/** Drops a file where plugins are dropped. */
async function drop(page, file) {
  const bytes = require("fs").readFileSync(file).toString("base64");
  const data = await page.evaluateHandle(([base64, name]) => {
    const transfer = new DataTransfer();
    const content = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    transfer.items.add(new File([content], name));
    return transfer;
  }, [bytes, require("path").basename(file)]);
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: data });
}

async function a_tool_by_its_form({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "tools/hello");
  await page.locator("form input").first().waitFor();
  await press(page, "Run");
  await said(page, "name: is required.");
  await page.locator("form input").first().fill("Grace");
  await page.keyboard.press("Enter");
  await page.locator(".result pre", { hasText: "Grace" }).waitFor();
  await browser.shoot(page, "tool-1280");
  await page.context().close();
}

async function a_dead_letter_sent_again({ browser, sink }) {
  const page = await browser.open();
  await browser.signIn(page);
  sink.answers["/reply"] = 400;
  await write("Hello from the team");
  await go(page, "channels/team");
  const letters = page.locator(".letter");
  await letters.first().waitFor();
  await browser.check(page, "a dead letter");
  await browser.shoot(page, "dead-letter-1280");
  await write("And another one");
  await until("two letters", async () => (await letters.count()) === 2);
  sink.answers["/reply"] = 200;
  await letters.first().getByRole("button", { name: "Send again" }).click();
  await said(page, "It is on its way again.");
  await until("its arrival", () => sink.count("/reply", 200) === 1);
  await until("one letter", async () => (await letters.count()) === 1);
  await letters.getByRole("button", { name: "Drop" }).click();
  await page.locator("dialog").getByRole("button", { name: "Drop" }).click();
  await page.locator(".empty", { hasText: "No dead letters" }).waitFor();
  await press(page, "Restart");
  await said(page, "team connects anew.");
  await page.locator(".facts .badge", { hasText: "connected" }).waitFor();
  await page.context().close();
}

async function the_log_followed({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "logs");
  await page.locator(".live-mark", { hasText: "following" }).waitFor();
  await page.locator(".entry:visible").first().waitFor();
  await page.locator("#main input[type=search]").last().fill("configuration changed");
  const found = page.locator(".entry:visible");
  const before = await found.count();
  await api("PATCH", "config", { "agent.max_turns": 49 });
  await until("its line", async () => (await found.count()) === before + 1);
  await press(page, "Pause");
  await api("PATCH", "config", { "agent.max_turns": 50 });
  await page.locator(".live-mark", { hasText: /paused, [1-9]/ }).waitFor();
  assert.strictEqual(await found.count(), before + 1, "nothing moves");
  await press(page, "Go on");
  await until("what waited", async () => (await found.count()) === before + 2);
  await page.context().close();
}

async function a_hook_mended({ browser, sink }) {
  const page = await browser.open();
  await browser.signIn(page);
  sink.answers["/broken"] = 500;
  sink.answers["/gone"] = 410;
  const at = (route) => `http://127.0.0.1:${process.env.SINK}${route}`;
  await go(page, "hooks");
  await press(page, "New hook");
  const dialog = page.locator("dialog");
  await dialog.locator("input[type=url]").fill(at("/broken"));
  await dialog.getByLabel("All of them, those of plugins too").uncheck();
  await dialog.getByLabel("plugin.reloaded").check();
  await browser.check(page, "a new hook");
  await dialog.getByRole("button", { name: "Save" }).click();
  await dialog.locator("pre", { hasText: "whsec_" }).waitFor();
  await dialog.locator("form > .actions button", { hasText: "Close" }).click();
  await page.locator("h1", { hasText: "Hook" }).waitFor();
  await press(page, "Send a test");
  await page.locator(".facts dd", { hasText: "500" }).waitFor();
  await browser.shoot(page, "hook-failing-1280");
  // The receiver is elsewhere by now.
  await press(page, "Edit");
  await dialog.locator("input[type=url]").fill(at("/taken"));
  await dialog.getByRole("button", { name: "Save" }).click();
  await said(page, "The hook is changed.");
  await press(page, "Send a test");
  await until("a delivery", () => sink.count("/taken", 200) > 0);
  await page.locator("tbody .badge", { hasText: "delivered" }).first().waitFor();
  // It turned the hook off, and is back.
  sink.answers["/taken"] = 410;
  await press(page, "Send a test");
  await page.locator(".facts .badge", { hasText: "off" }).waitFor();
  sink.answers["/taken"] = 200;
  await press(page, "Turn on");
  await said(page, "The hook is on");
  await page.locator(".facts .badge", { hasText: "on" }).waitFor();
  await press(page, "New secret");
  await dialog.getByRole("button", { name: "New secret" }).click();
  await dialog.locator("pre", { hasText: "whsec_" }).waitFor();
  await dialog.locator("form > .actions button", { hasText: "Close" }).click();
  await page.context().close();
}

async function a_job_run({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "jobs");
  await press(page, "Run now");
  await said(page, "digest has run");
  await page.locator("tbody .badge", { hasText: "done" }).waitFor();
  await page.context().close();
}

async function a_setting_changed({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "config?find=history");
  const row = page.locator(".settings li", { hasText: "agent.history_messages" });
  await row.getByRole("button").click();
  const dialog = page.locator("dialog");
  await dialog.locator("input[type=text]").fill("12");
  await page.keyboard.press("Enter");
  await said(page, "agent.history_messages is changed.");
  await row.locator(".badge", { hasText: "set in the file" }).waitFor();
  await row.getByRole("button").click();
  await dialog.getByLabel("Back to the default").check();
  await dialog.getByRole("button", { name: "Save" }).click();
  await row.locator(".faint", { hasText: "default" }).waitFor();
  await page.context().close();
}

async function a_login_that_ends_by_itself({ browser }) {
  const guarded = await Guarded.start();
  await api("PATCH", "config", { mcp_servers: { guarded: { url: `${guarded.origin}/mcp` } } });
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "mcp");
  const row = page.locator("tbody tr", { hasText: "guarded" });
  await row.locator(".wrong", { hasText: "needs login" }).waitFor();
  await row.getByRole("button", { name: "Log in" }).click();
  const dialog = page.locator("dialog");
  const [tab] = await Promise.all([page.context().waitForEvent("page"), dialog.getByRole("link").click()]);
  await tab.getByText("Agree").click();
  await tab.getByText("Close this tab").waitFor();
  assert.strictEqual(tab.url(), `${BASE}/console/`, "the code stays in no history");
  await dialog.waitFor({ state: "detached" });
  await said(page, "The gateway is logged in to guarded.");
  await row.locator(".badge", { hasText: "connected" }).waitFor();
  await api("PATCH", "config", { mcp_servers: { guarded: null } });
  await row.waitFor({ state: "detached" });
  await page.context().close();
  guarded.stop();
}

async function a_token_made_and_revoked({ browser }) {
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "tokens");
  await press(page, "New token");
  const dialog = page.locator("dialog");
  await dialog.getByRole("button", { name: "Make it" }).click();
  await dialog.locator(".wrong", { hasText: "at least one scope" }).waitFor();
  await dialog.getByLabel("Name").fill("for the wall");
  await dialog.getByLabel("status:read").check();
  await dialog.getByRole("button", { name: "Make it" }).click();
  await dialog.getByRole("button", { name: "Copy" }).click();
  const made = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(made, /^prx_/);
  await dialog.locator("form > .actions button", { hasText: "Close" }).click();
  const row = page.locator("tbody tr", { hasText: "for the wall" });
  await row.getByRole("button", { name: "Revoke" }).click();
  await dialog.getByRole("button", { name: "Revoke" }).click();
  await row.locator(".badge", { hasText: "revoked" }).waitFor();
  const refused = await fetch(`${BASE}/api/v1/status`, { headers: { authorization: `Bearer ${made}` } });
  assert.strictEqual(refused.status, 401);
  await page.context().close();
}

async function a_person_erased({ browser }) {
  await api("POST", "sessions", { channel: "api", user_id: "to-be-erased" });
  const page = await browser.open();
  await browser.signIn(page);
  await go(page, "users?channel=api&user=to-be-erased");
  await page.locator("#main form").waitFor();
  await press(page, "Erase");
  const dialog = page.locator("dialog");
  await dialog.getByRole("button", { name: "Go on" }).click();
  await dialog.locator("input").fill("someone-else");
  await dialog.getByRole("button", { name: "Erase" }).click();
  await dialog.locator(".wrong", { hasText: "another id" }).waitFor();
  await dialog.locator("input").fill("to-be-erased");
  await dialog.getByRole("button", { name: "Erase" }).click();
  await page.locator("#main h2", { hasText: "to-be-erased is erased." }).waitFor();
  await go(page, "audit?action=user");
  await page.locator("tbody .tag", { hasText: "user.erased" }).waitFor();
  await page.context().close();
}

module.exports = {
  a_chat_with_a_question, a_reply_as_it_is_written_and_stopped, a_session_as_it_goes_on, a_plugin_dropped_in_granted_reloaded_and_rolled_back,
  a_tool_by_its_form, a_dead_letter_sent_again, the_log_followed, a_hook_mended, a_job_run, a_setting_changed, a_login_that_ends_by_itself, a_token_made_and_revoked,
  a_person_erased,
};
