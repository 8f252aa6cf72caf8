// The whole walk, in order.

const { Browser } = require("./browser.cjs");
const { Gateway, Sink } = require("./world.cjs");
const pages = require("./pages.cjs");
const doings = require("./doings.cjs");
const mishaps = require("./mishaps.cjs");

(async () => {
  const [gateway, sink, browser] = [new Gateway(), new Sink(), await Browser.start()];
  await sink.listen();
  const world = { gateway, sink, browser };
  let failed = null;
  try {
    for (const [name, step] of Object.entries({ ...doings, ...pages, ...mishaps })) {
      const began = Date.now();
      await step(world);
      console.log(`${name.replaceAll("_", " ")} (${((Date.now() - began) / 1000).toFixed(1)} s)`);
    }
    await browser.end();
  } catch (error) {
    failed = error;
    for (const context of browser.inner.contexts()) {
      for (const page of context.pages()) await browser.shoot(page, "failed").catch(() => {});
    }
    [...browser.problems, ...browser.findings].forEach((problem) => console.error(problem));
    await browser.inner.close().catch(() => {});
  }
  gateway.stop();
  sink.server.close();
  sink.server.closeAllConnections();
  if (failed) throw failed;
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
