// A tool in JavaScript: says what a page answers with.

import { log } from "prx:plugin/log@0.2.0";

const PARAMETERS = {
  type: "object",
  properties: { url: { type: "string", description: "such as https://example.org/" } },
  required: ["url"],
};

export const tool = {
  tools() {
    return [{ name: "page_status", description: "Says what a page answers with.", parameters: JSON.stringify(PARAMETERS), readOnly: true }];
  },

  async call(name, args, context) {
    const { url } = JSON.parse(args);
    let response;
    try {
      response = await fetch(url);
    } catch (error) {
      // What was not granted ends here, too. The model reads this.
      throw { code: "unavailable", message: `${url} can't be reached: ${error.message}` };
    }
    const length = (await response.arrayBuffer()).byteLength;
    log("debug", "asked a page");
    return { text: `${response.status}, ${length} bytes`, structured: JSON.stringify({ status: response.status, length }), attachments: [] };
  },
};
