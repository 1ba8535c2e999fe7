/** Elements made by hand: text never becomes markup, and no style or handler stands in an attribute. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `on…` properties are listeners, `class` and `aria-*` attributes; null, undefined and false
 * leave an attribute out. Children are nodes or texts; null ones are left out.
 */
export function h(tag, properties = {}, ...children) {
  return fill(document.createElement(tag), properties, children);
}

/** The same for a drawing. */
export function svg(tag, properties = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), properties, children);
}

/** A piece of text that keeps its own direction: an address, a number, a name. */
export function own(text, className) {
  return h("bdi", { class: className }, text);
}

const ICONS = {
  lock: "M7 11V8a5 5 0 0 1 10 0v3M6 11h12v9H6z",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M7 7l10 10M17 7L7 17",
  warning: "M12 4l9 16H3zM12 10v4M12 17.2v.1",
  clock: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 8v4.5l3 1.8",
  copy: "M9 9h10v11H9zM15 9V5H5v11h4",
  face: "M12 4.5a4.25 4.25 0 0 1 0 8.5 4.25 4.25 0 0 1 0-8.5M4.5 21c.6-3.8 3.6-5.5 7.5-5.5s6.9 1.7 7.5 5.5",
  page: "M7 3.5h7l4 4V20.5H7zM14 3.5v4h4M9.5 12.5h6M9.5 16h6",
  save: "M12 4v10M8 10.5l4 4 4-4M5 19.5h14",
  print: "M7 9V4h10v5M7 17H4.5V9.5h15V17H17M7 14h10v6H7z",
  info: "M12 4a8 8 0 1 0 0 16 8 8 0 0 0 0-16M12 11v5M12 8v.1",
};

/** A drawing that says nothing its text does not say. */
export function icon(name) {
  const properties = { class: "icon", viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" };
  return svg("svg", properties, svg("path", { d: ICONS[name] }));
}

/** A message inside a step; `kind` is "danger", "caution" or "quiet". */
export function note(kind, text, role) {
  const shown = kind === "quiet" ? "info" : "warning";
  return h("div", { class: `note ${kind}`, role }, icon(shown), h("p", {}, text));
}

/** A button that shows when it is at work; `work` is not begun twice. */
export function button(className, text, work, properties = {}) {
  const made = h("button", { type: "button", class: className, ...properties }, h("span", {}, text));
  made.addEventListener("click", () => atWork(made, work));
  return made;
}

/** Runs `work` unless the button is busy already; it keeps its focus meanwhile. */
export async function atWork(made, work) {
  if (made.getAttribute("aria-busy") === "true") return;
  made.setAttribute("aria-busy", "true");
  made.setAttribute("aria-disabled", "true");
  try {
    await work();
  } finally {
    made.removeAttribute("aria-busy");
    made.removeAttribute("aria-disabled");
  }
}

/** A form whose button works once at a time. */
export function form(submit, work, ...children) {
  const made = h("form", { novalidate: true }, ...children, submit);
  made.addEventListener("submit", (event) => {
    event.preventDefault();
    atWork(submit, work);
  });
  return made;
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}
