// A browser that is watched: what the page says in the console, what it asks others for, what axe finds, what the keyboard reaches.

const assert = require("assert");
const path = require("path");
const fs = require("fs");
const { chromium } = require("playwright-core");
const { BASE, TOKEN } = require("./world.cjs");

const AXE = fs.readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
/** What can be reached by the keyboard. */
const REACHABLE = 'a[href], button:not(:disabled), input:not(:disabled):not([tabindex="-1"]), select:not(:disabled), textarea:not(:disabled), summary, [tabindex="0"]';

class Browser {
  static async start() {
    const browser = new Browser();
    browser.inner = await chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });
    browser.problems = [];
    browser.findings = [];
    return browser;
  }

  /** A page of this width and scheme, which nobody has signed in to. */
  async open(width = 1280, scheme = "light") {
    const height = width < 800 ? 844 : 860;
    const context = await this.inner.newContext({ viewport: { width, height }, colorScheme: scheme, reducedMotion: "reduce" });
    await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: BASE });
    const page = await context.newPage();
    this.watch(page, `${width} ${scheme}`);
    page.setDefaultTimeout(30_000);
    await page.goto(`${BASE}/console/`);
    return page;
  }

  watch(page, label) {
    page.expected = [];
    const isExpected = (words) => page.expected.some((one) => one.test(words));
    page.on("console", (said) => {
      if (!["error", "warning"].includes(said.type()) || isExpected(said.text())) return;
      this.problems.push(`${label} ${page.url()}: ${said.type()}: ${said.text()}`);
    });
    page.on("pageerror", (error) => this.problems.push(`${label} ${page.url()}: ${error.stack}`));
    page.on("dialog", (dialog) => (this.problems.push(`${label}: a dialog of the browser's: ${dialog.message()}`), dialog.dismiss()));
    page.on("request", (request) => {
      const to = request.url();
      if (!to.startsWith(`${BASE}/`) && !to.startsWith("blob:") && !to.startsWith("data:")) this.problems.push(`${label}: asked ${to}`);
    });
  }

  /** Signs in with a token, by the keyboard. */
  async signIn(page, token = TOKEN) {
    await page.locator("input[name=token]").fill(token);
    await page.keyboard.press("Enter");
    await page.locator("#main h1, #main .problem").first().waitFor();
  }

  /** What axe finds that is serious, on the page as it is. */
  async check(page, name) {
    await page.evaluate(`${AXE}; undefined`);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document));
    assert(passes.length > 10, `${name}: axe has looked at it`);
    for (const { id, impact, nodes } of violations) {
      if (!["serious", "critical"].includes(impact)) continue;
      this.findings.push(`${name}: ${impact}: ${id}: ${nodes.slice(0, 3).map((node) => `${node.target} ${node.any?.[0]?.message ?? ""}`).join("; ")}`);
    }
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (beyond > 0) this.findings.push(`${name}: ${beyond} pixels wider than the screen`);
  }

  async shoot(page, name, fullPage = false) {
    await page.screenshot({ path: path.join(process.env.SHOTS, `${name}.png`), fullPage });
  }

  /** Goes through the page by Tab alone: everything is reached, can be seen, and has a name; and the way out is not barred. */
  async tab(page, name) {
    const count = await page.evaluate((selector) => {
      const shown = [...document.querySelectorAll(`#main :is(${selector})`)].filter((one) => one.checkVisibility({ visibilityProperty: true }));
      shown.forEach((one, at) => (one.dataset.reach = String(at)));
      document.getElementById("main").focus();
      return shown.length;
    }, REACHABLE);
    const reached = new Set();
    for (let press = 0; press < count + 3; press += 1) {
      await page.keyboard.press("Tab");
      const focus = await page.evaluate(() => {
        const one = document.activeElement;
        const style = getComputedStyle(one);
        return { at: one.dataset?.reach, ring: style.outlineStyle !== "none", tag: one.outerHTML?.slice(0, 90) };
      });
      if (focus.at === undefined) continue;
      reached.add(focus.at);
      assert(focus.ring, `${name}: it can't be seen that ${focus.tag} has the keyboard`);
    }
    // A part that was drawn anew meanwhile has other elements: those that are still there have been reached.
    const missed = await page.evaluate((seen) => [...document.querySelectorAll("#main [data-reach]")]
      .filter((one) => !seen.includes(one.dataset.reach) && one.checkVisibility()).map((one) => one.outerHTML.slice(0, 120)), [...reached]);
    assert.deepStrictEqual(missed, [], `${name}: Tab does not reach these`);
  }

  /** What went wrong in all of it. */
  async end() {
    await this.inner.close();
    assert.deepStrictEqual(this.problems, [], "nothing is said in the console, and nobody else is asked");
    assert.deepStrictEqual(this.findings, [], "axe finds nothing serious");
  }
}

/** Something in which the page is expected to meet these errors. */
async function expecting(page, patterns, work) {
  page.expected.push(...patterns);
  await work();
  // What the browser says of a request comes a moment after it.
  await page.waitForTimeout(300);
  page.expected.splice(0);
}

module.exports = { Browser, expecting };
