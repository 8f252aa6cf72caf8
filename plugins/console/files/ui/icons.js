// Small pictures, drawn with lines in the colour of the text beside them.

import { svg } from "../lib/dom.js";

const PATHS = {
  overview: "M3 12h4l3-8 4 16 3-8h4",
  chat: "M4 5h16v11H9l-5 4z",
  sessions: "M4 6h16M4 12h16M4 18h10",
  agents: "M12 3v3M6 8h12v10H6zM9.5 12v1.5M14.5 12v1.5M3 12v3M21 12v3",
  channels: "M5 12a7 7 0 0 1 7-7M5 12a7 7 0 0 0 7 7M19 12a7 7 0 0 0-7-7M19 12a7 7 0 0 1-7 7M12 11.5v1",
  users: "M12 11a3.5 3.5 0 1 0 0-7 3.5 3.5 0 0 0 0 7zM5 20c0-4 3-6 7-6s7 2 7 6",
  plugins: "M9 3v4M15 3v4M6 7h12v5a6 6 0 0 1-12 0zM12 18v3",
  tools: "M14.5 6.5a4 4 0 0 1 5 5L17 9.500 14.500 12 12 9.500zM12.500 11.500 5 19",
  skills: "M12 3l2.500 6 6.500.500-5 4.200 1.600 6.300L12 16.600 6.400 20 8 13.700 3 9.500 9.500 9z",
  mcp: "M4 5h16v6H4zM4 13h16v6H4zM7.500 8h.01M7.500 16h.01",
  hooks: "M12 4v9a4 4 0 1 1-4-4M12 4h4M16 4v4",
  jobs: "M12 21a8.500 8.500 0 1 0 0-17 8.500 8.500 0 0 0 0 17zM12 8v5l3 2",
  logs: "M5 4h14v16H5zM8 8h8M8 12h8M8 16h5",
  config: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.500v5M9 14.500v5",
  tokens: "M8 15a4 4 0 1 1 3.500-6H21v4h-3v2h-3v-2h-3.500A4 4 0 0 1 8 15zM7.500 11h.01",
  audit: "M12 3l7 3v5c0 5-3 8-7 10-4-2-7-5-7-10V6zM9 12l2 2 4-4",
  menu: "M4 7h16M4 12h16M4 17h16",
  close: "M6 6l12 12M18 6L6 18",
  light: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v2M12 19v2M3 12h2M19 12h2M5.600 5.600 7 7M17 17l1.400 1.400M18.400 5.600 17 7M7 17l-1.400 1.400",
  leave: "M10 4H5v16h5M14 8l4 4-4 4M18 12H9",
  down: "M6 9l6 6 6-6",
  upload: "M12 16V4M7 9l5-5 5 5M5 20h14",
};

/** One of them. It says nothing by itself: words stand beside it, or in its button's label. */
export function icon(name) {
  const shape = svg("path", { d: PATHS[name] });
  return svg("svg", { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" }, shape);
}
