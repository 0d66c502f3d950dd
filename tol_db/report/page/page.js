"use strict";
(() => {
  const root = document.documentElement;
  const numbers = new Intl.NumberFormat("en");

  // ---------------------------------------------------------------- theme: as the system has it, or as chosen
  const button = document.getElementById("theme");
  const themes = ["auto", "light", "dark"];
  const remembered = () => {
    try { return localStorage.getItem("tol-db-theme"); } catch { return null; }  // a page from disk may have no storage
  };
  const setTheme = (name) => {
    if (name === "auto") delete root.dataset.theme; else root.dataset.theme = name;
    button.textContent = "Theme: " + name;
    button.dataset.theme = name;
    try { localStorage.setItem("tol-db-theme", name); } catch { /* then it is not remembered */ }
  };
  button.hidden = false;
  setTheme(themes.includes(remembered()) ? remembered() : "auto");
  button.addEventListener("click", () => {
    setTheme(themes[(themes.indexOf(button.dataset.theme) + 1) % themes.length]);
  });

  // ---------------------------------------------------------------- treemap
  const holder = document.getElementById("treemap-data");
  if (!holder) return;
  const { levels, scopes, tree } = JSON.parse(holder.textContent);
  const map = document.getElementById("treemap");
  const crumbs = document.getElementById("treemap-crumbs");
  const table = document.getElementById("treemap-table");
  const byChoice = document.getElementById("treemap-by");
  const scopeChoice = document.getElementById("treemap-scope");
  document.querySelector(".choices").hidden = false;

  const unpack = ([name, ...rest], parent, depth) => {
    const node = { name, parent, depth, images: [], taxa: [], children: [] };
    if (rest.length === 2) {
      [node.images, node.taxa] = rest;
    } else {
      node.children = rest[0].map((child) => unpack(child, node, depth + 1));
      for (const key of ["images", "taxa"]) {
        node[key] = scopes.map((_, i) => node.children.reduce((sum, child) => sum + child[key][i], 0));
      }
    }
    return node;
  };
  const top = unpack(tree, null, -1);
  let focus = top;

  const by = () => byChoice.value;
  const scope = () => Number(scopeChoice.value);
  const size = (node) => node[by()][scope()];
  const shown = (node) => node.depth < 0 ? "all" : node.name || `(no ${levels[node.depth]})`;
  const compare = (a, b) => size(b) - size(a) || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
  const ordered = (node) => node.children.filter((child) => size(child) > 0).sort(compare);
  const groups = () => {
    const found = new Map();
    ordered(top).forEach((child, index) => found.set(child, Math.min(index, 7)));
    return found;
  };

  // the same as squarify.py
  const worst = (row, largest, smallest, short) => row <= 0 || smallest <= 0 || short <= 0 ? 0
    : Math.max(short * short * largest / (row * row), row * row / (short * short * smallest));
  const squarify = (sizes, box) => {
    const found = [];
    let at = 0;
    let [x, y, width, height] = box;
    let total = sizes.reduce((a, b) => a + b, 0);
    while (at < sizes.length) {
      const short = Math.min(width, height);
      const scale = total > 0 ? width * height / total : 0;
      let end = at + 1;
      let row = sizes[at] * scale;
      while (end < sizes.length) {
        const longer = row + sizes[end] * scale;
        if (worst(longer, sizes[at] * scale, sizes[end] * scale, short)
          > worst(row, sizes[at] * scale, sizes[end - 1] * scale, short)) break;
        row = longer;
        end += 1;
      }
      const depth = short > 0 ? (end === sizes.length ? Math.max(width, height) : row / short) : 0;
      const upright = width >= height;
      const inRow = sizes.slice(at, end);
      const sum = inRow.reduce((a, b) => a + b, 0);
      let along = 0;
      for (const each of inRow) {
        const part = (upright ? height : width) * each / sum;
        found.push(upright ? [x, y + along, depth, part] : [x + along, y, part, depth]);
        along += part;
      }
      total -= sum;
      if (upright) { x += depth; width = Math.max(0, width - depth); }
      else { y += depth; height = Math.max(0, height - depth); }
      at = end;
    }
    return found;
  };

  const HEAD = 18;
  const element = (name, className, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;  // never innerHTML: names are data
    return made;
  };
  const place = (tile, [x, y, width, height], wide, high) => {
    const style = tile.style;
    style.left = 100 * x / wide + "%";
    style.top = 100 * y / high + "%";
    style.width = 100 * width / wide + "%";
    style.height = 100 * height / high + "%";
  };
  const told = (node) => `${shown(node)}: ${numbers.format(size(node))} ${by()}`;
  const share = (node, of) => size(of) ? (100 * size(node) / size(of)).toFixed(1) + " %" : "-";

  // children of a node as tiles inside another; deeper ones as long as they can be told apart
  const fill = (inside, node, wide, high, depth, group, parity) => {
    const children = ordered(node);
    const boxes = squarify(children.map(size), [0, 0, wide, high]);
    children.forEach((child, index) => {
      const box = boxes[index];
      const [, , width, height] = box;
      if (width < 1.5 || height < 1.5) return;
      const colour = group ? group.get(child) ?? 7 : inside.dataset.group;
      const shade = child.depth === 0 ? 0 : child.depth === 1 || depth === 0 ? index : parity;
      const own = depth === 0;
      const tile = element(own ? "button" : "div", `tile k${colour} p${shade % 3}`);
      tile.dataset.group = colour;
      if (own) {
        tile.type = "button";
        tile.setAttribute("aria-label", told(child) + (child.children.length ? ", look into it" : ""));
        tile.title = `${told(child)}, ${share(child, node)} of ${shown(node)}`;
        if (child.children.length) tile.addEventListener("click", () => look(child, true));
        else tile.classList.add("end");
      }
      place(tile, box, wide, high);
      inside.append(tile);
      const deeper = depth < 3 && child.children.length && width > 34 && height > 34;
      if (width > 30 && height > HEAD) {
        const label = element("span");
        label.append(element(own ? "b" : "i", "", shown(child)));
        if (own) label.append(" " + numbers.format(size(child)));
        tile.append(label);
      }
      if (deeper) {
        const holder = element("div", "");
        holder.dataset.group = colour;
        holder.style.cssText = `position:absolute;left:1px;right:1px;bottom:1px;top:${HEAD}px`;
        tile.append(holder);
        fill(holder, child, width - 4, height - HEAD - 3, depth + 1, null, shade);
      }
    });
  };

  const drawTable = () => {
    const made = element("table");
    const rank = levels[focus.depth + 1] ?? "name";
    made.append(element("caption", "", focus === top ? "Kingdoms" : `In ${shown(focus)}`));
    const head = element("tr");
    for (const [name, number] of [[rank, 0], ["images", 1], ["share", 1], ["taxa", 1]]) {
      const cell = element("th", number ? "n" : "", name);
      cell.scope = "col";
      head.append(cell);
    }
    made.append(element("thead"));
    made.tHead.append(head);
    const body = element("tbody");
    for (const child of ordered(focus)) {
      const row = element("tr");
      const name = element("th", "", shown(child));
      name.scope = "row";
      row.append(name);
      for (const text of [numbers.format(child.images[scope()]), share(child, focus), numbers.format(child.taxa[scope()])]) {
        row.append(element("td", "n", text));
      }
      body.append(row);
    }
    made.append(body);
    const holder = element("div", "scroll");
    holder.append(made);
    table.replaceChildren(holder);
  };

  const drawCrumbs = () => {
    const path = [];
    for (let node = focus; node; node = node.parent) path.unshift(node);
    crumbs.replaceChildren();
    path.forEach((node, index) => {
      if (index) crumbs.append("›");
      if (node === focus) {
        const here = element("span", "", told(node));
        here.setAttribute("aria-current", "location");
        crumbs.append(here);
      } else {
        const back = element("button", "", shown(node));
        back.type = "button";
        back.addEventListener("click", () => look(node, true));
        crumbs.append(back);
      }
    });
  };

  const draw = () => {
    const { width, height } = map.getBoundingClientRect();
    if (!width || !height) return;
    map.replaceChildren();
    let kingdom = focus;
    while (kingdom.depth > 0) kingdom = kingdom.parent;
    const found = groups();
    map.dataset.group = found.get(kingdom) ?? 7;
    fill(map, focus, width, height, 0, focus === top ? found : null, 0);
    map.setAttribute("aria-label", `Treemap of ${shown(focus)} by ${by()}, ${scopes[scope()]}`);
  };
  const look = (node, moved) => {
    focus = node;
    draw();
    drawCrumbs();
    drawTable();
    if (moved) (map.querySelector("button.tile:not(.end)") ?? crumbs.querySelector("button"))?.focus({ preventScroll: true });
  };
  for (const choice of [byChoice, scopeChoice]) {
    choice.addEventListener("change", () => {
      while (focus.parent && !size(focus)) focus = focus.parent;
      look(focus, false);
    });
  }
  map.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && focus.parent) look(focus.parent, true);
  });
  let waiting = 0;
  let before = 0;
  new ResizeObserver(([entry]) => {
    const width = Math.round(entry.contentRect.width);
    if (width === before) return;
    before = width;
    cancelAnimationFrame(waiting);
    waiting = requestAnimationFrame(draw);
  }).observe(map);
  look(top, false);
})();
