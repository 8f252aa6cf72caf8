// Every page, by pointer and by keyboard, wide and narrow, light and dark.

const assert = require("assert");
const { api } = require("./world.cjs");

const PAGES = ["overview", "chat", "sessions", "channels", "agents", "users", "plugins", "tools", "skills", "mcp", "hooks", "jobs", "logs", "config", "tokens", "audit"];

/** Pages that others lead to: where from, and by which link. */
const BELOW = [
  ["sessions", "#main tbody a", "session"], ["channels", "#main tbody a", "channel"], ["plugins", "#main tbody a:text-is('daily-digest')", "plugin"],
  ["tools", "#main tbody a:text-is('hello')", "tool"], ["hooks", "#main tbody a", "hook"],
];

async function every_page_wide_and_light({ browser }) {
  await walk(browser, 1280, "light");
}

async function every_page_wide_and_dark({ browser }) {
  await walk(browser, 1280, "dark");
}

async function every_page_narrow_and_light({ browser }) {
  await walk(browser, 390, "light");
}

async function every_page_narrow_and_dark({ browser }) {
  await walk(browser, 390, "dark");
}

async function walk(browser, width, scheme) {
  const page = await browser.open(width, scheme);
  await browser.check(page, `sign-in ${width} ${scheme}`);
  await browser.shoot(page, `sign-in-${width}-${scheme}`);
  await browser.signIn(page);
  for (const [at, name] of PAGES.entries()) {
    // Turn and turn about: one page by the pointer, the next one by the keyboard; in dark the other way round.
    await lead(page, name, width < 800, (at % 2 === 0) === (scheme === "light"));
    await look(browser, page, name, width, scheme);
  }
  for (const [from, link, name] of BELOW) {
    await lead(page, from, width < 800, true);
    await page.locator(link).first().click();
    await page.locator("#main .back").waitFor();
    await look(browser, page, name, width, scheme);
  }
  await page.context().close();
}

/** Goes to a page by its entry in the list. */
async function lead(page, name, isNarrow, byPointer) {
  const entry = page.locator(`#nav a[data-nav="${name}"]`);
  const menu = page.locator(".menu");
  if (byPointer) {
    if (isNarrow) await menu.click();
    await entry.click();
  } else {
    if (isNarrow) {
      await menu.focus();
      await page.keyboard.press("Enter");
    }
    await entry.focus();
    await page.keyboard.press("Enter");
  }
  await page.locator(`#nav a[data-nav="${name}"][aria-current=page]`).waitFor({ state: "attached" });
  if (isNarrow) assert.strictEqual(await menu.getAttribute("aria-expanded"), "false", "the list closes behind");
}

async function look(browser, page, name, width, scheme) {
  await page.locator("#main h1").waitFor();
  await page.waitForFunction(() => !document.querySelector("#main .waiting"));
  assert.strictEqual(await page.locator("#main .problem[role=alert]").count(), 0, `${name} shows a problem`);
  await browser.check(page, `${name} ${width} ${scheme}`);
  await browser.shoot(page, `${name}-${width}-${scheme}`);
  if (scheme === "light") await browser.tab(page, `${name} ${width}`);
}

/** What it takes until something is seen, in a browser that has nothing of the page, and in one that has. */
async function the_first_paint({ browser }) {
  const page = await browser.open();
  const measure = () => page.evaluate(() => {
    const loaded = performance.getEntriesByType("resource").filter((one) => one.name.includes("/console/"));
    const sent = [...loaded, ...performance.getEntriesByType("navigation")].filter((one) => one.transferSize > 0);
    const bytes = sent.reduce((sum, one) => sum + one.transferSize, 0);
    return { ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime, files: sent.length, bytes };
  });
  const say = async (when) => {
    await page.locator("input[name=token]").waitFor();
    const { ms, files, bytes } = await measure();
    console.log(`  ${when}: seen after ${Math.round(ms)} ms, ${files} files, ${(bytes / 1024).toFixed(1)} KiB`);
    return files;
  };
  // Without a token thirty requests a second are let through.
  assert((await say("the first time")) < 30);
  await page.reload();
  assert.strictEqual(await say("again"), 1, "only the page itself is asked for again");
  await page.context().close();
}

/** What models and people say may be anything: it is read to its end, and makes nothing but text and links to the web. */
async function any_text_is_read({ browser }) {
  const page = await browser.open();
  const wrong = await page.evaluate(async () => {
    const { markdown } = await import(document.querySelector("script").src.replace("app.js", "ui/markdown.js"));
    const pieces = ["`", "``a", "*", "**a", "_", "[", "[a](", "[a](javascript:alert(1)) ", "> ", "- ", "1. ", "#", "```\n", "http://", "<script>", "\n", "a*b", "![x](data:text/html,y)"];
    const allowed = new Set("DIV P BR HR PRE CODE STRONG EM A UL OL LI BLOCKQUOTE".split(" "));
    const found = [];
    for (const piece of pieces) {
      for (const source of [piece.repeat(Math.floor(90_000 / piece.length)), `${piece.repeat(1000)}\n`.repeat(4)]) {
        for (const element of markdown(source).querySelectorAll("*")) {
          const leads = element.tagName !== "A" || /^https?:/.test(element.href);
          if (!allowed.has(element.tagName) || !leads) found.push(`${piece}: ${element.tagName} ${element.href ?? ""}`);
        }
      }
    }
    return found;
  });
  assert.deepStrictEqual(wrong, []);
  await page.context().close();
}

async function lists_page({ browser }) {
  for (let count = 0; count < 60; count += 1) await api("POST", "sessions", { channel: "many", user_id: `user-${count}` });
  const page = await browser.open();
  await browser.signIn(page);
  await page.goto(`${page.url().split("#")[0]}#/sessions?channel=many`);
  await page.locator("text=1 to 50 of 60").waitFor();
  await page.getByRole("button", { name: "Next" }).click();
  await page.locator("text=51 to 60 of 60").waitFor();
  assert.strictEqual(await page.locator("#main tbody tr").count(), 10);
  await page.reload();
  await page.locator("text=51 to 60 of 60").waitFor();
  await page.getByRole("button", { name: "Previous" }).click();
  await page.locator("text=1 to 50 of 60").waitFor();
  await page.context().close();
}

module.exports = { every_page_wide_and_light, every_page_wide_and_dark, every_page_narrow_and_light, every_page_narrow_and_dark, the_first_paint, any_text_is_read, lists_page };
