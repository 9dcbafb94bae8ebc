"use strict";
(() => {
  const byId = (id) => document.getElementById(id);
  const { classes, clouds } = JSON.parse(byId("data").textContent || '{"classes":[],"clouds":[]}');
  const LEVELS = 4095;
  const VIRIDIS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"];
  const night = matchMedia("(prefers-color-scheme: dark)");
  const percent = (share) => (100 * share).toFixed(share < 0.9995 ? 1 : 0) + " %";
  const known = clouds.some((cloud) => cloud.truth !== null);
  const wrong = (cloud) => cloud.truth !== null && cloud.truth !== cloud.top[0][0];

  let bytes = null; // of all clouds
  let plotly = null; // once it runs
  let shown = clouds; // those in the grid
  let chosen = null;
  let cell = null; // of the matrix: [true, predicted]
  let only = known && clouds.some(wrong) ? "mistakes" : "all";

  // Small things

  async function unpacked(id) {
    const packed = Uint8Array.from(atob(byId(id).textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }

  function element(name, text = "", kind = "") {
    const made = document.createElement(name);
    made.textContent = text;
    made.className = kind;
    return made;
  }

  function trouble(text) {
    byId("trouble").textContent = text;
    byId("trouble").hidden = false;
  }

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

  /** Colours from low to high: heights keep clear of what is too dark, or too light, for the page. */
  function stops(kind) {
    if (kind === "importance") return ["--against", "--between", "--for"].map(colour);
    return night.matches ? VIRIDIS.slice(2) : VIRIDIS.slice(0, -1);
  }

  function table(kind) {
    const ends = stops(kind).map(rgb);
    return Array.from({ length: 64 }, (_, i) => {
      const at = (i / 63) * (ends.length - 1);
      const low = Math.min(Math.floor(at), ends.length - 2);
      const mixed = ends[low].map((v, c) => Math.round(v + (at - low) * (ends[low + 1][c] - v)));
      return `rgb(${mixed})`;
    });
  }

  // Points

  let offset = 0;
  for (const cloud of clouds) {
    cloud.offset = offset;
    offset += cloud.points * (cloud.explained ? 7 : 6);
  }

  /** Columns x, y, z of a cloud, from -1/2 to 1/2, and values from 0 to 1 for its colours. */
  function columns(cloud, kind) {
    const view = new DataView(bytes.buffer, bytes.byteOffset + cloud.offset);
    const [x, y, z] = [0, 1, 2].map((axis) =>
      Float32Array.from({ length: cloud.points }, (_, i) =>
        view.getUint16(2 * (axis * cloud.points + i), true) / LEVELS - 0.5));
    if (kind === "importance") {
      const value = Float32Array.from({ length: cloud.points }, (_, i) =>
        (view.getUint8(6 * cloud.points + i) - 1) / 254);
      return { x, y, z, value };
    }
    const low = z.reduce((a, b) => Math.min(a, b));
    const high = z.reduce((a, b) => Math.max(a, b));
    return { x, y, z, value: z.map((v) => (high > low ? (v - low) / (high - low) : 0.5)) };
  }

  const kindOf = (cloud) => (cloud.explained ? byId("colour").value : "height");

  /** One side of a cloud, as the view shows it at first. */
  function draw(canvas, cloud) {
    const kind = kindOf(cloud);
    const { x, y, z, value } = columns(cloud, kind);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const width = (canvas.width = Math.round(canvas.clientWidth * ratio));
    const height = (canvas.height = Math.round(canvas.clientHeight * ratio));
    const context = canvas.getContext("2d");
    const [turn, tilt] = [(-40 * Math.PI) / 180, (25 * Math.PI) / 180];
    const across = x.map((v, i) => v * Math.cos(turn) + y[i] * Math.sin(turn));
    const ahead = x.map((v, i) => -v * Math.sin(turn) + y[i] * Math.cos(turn));
    const up = z.map((v, i) => v * Math.cos(tilt) + ahead[i] * Math.sin(tilt));
    const away = z.map((v, i) => ahead[i] * Math.cos(tilt) - v * Math.sin(tilt));
    const order = Array.from(away.keys()).sort((a, b) => away[b] - away[a]);
    const middle = (values) => (Math.min(...values) + Math.max(...values)) / 2;
    const reach = Math.max(Math.max(...across) - Math.min(...across), Math.max(...up) - Math.min(...up));
    const side = (0.92 * Math.min(width, height)) / (reach || 1);
    const [mx, my] = [middle(across), middle(up)];
    const dot = Math.max(1, (Math.min(width, height) / 64) * Math.min(1.4, Math.sqrt(700 / cloud.points)));
    const shades = table(kind);
    for (const i of order) {
      context.fillStyle = shades[Math.round(63 * value[i])];
      context.fillRect(width / 2 + side * (across[i] - mx) - dot / 2, height / 2 - side * (up[i] - my) - dot / 2, dot, dot);
    }
  }

  // The view

  const HOME = { eye: { x: 1.14, y: -1.36, z: 0.83 }, up: { x: 0, y: 0, z: 1 }, center: { x: 0, y: 0, z: 0 } };

  function plot() {
    if (chosen === null || bytes === null) return null;
    const kind = kindOf(chosen);
    const [low, ...rest] = stops(kind);
    byId("scale").querySelector("i").style.background = `linear-gradient(90deg, ${[low, ...rest].join(", ")})`;
    byId("scale-low").textContent = kind === "height" ? "low" : "against";
    byId("scale-high").textContent = kind === "height" ? "high" : "for the class";
    if (plotly === null) return flat();
    const { x, y, z, value } = columns(chosen, kind);
    const ends = stops(kind);
    // one box for all, and no text: plotly reads a canvas back for it, of which Chromium complains
    const hidden = { visible: false, showspikes: false, showticklabels: false, title: { text: "" }, range: [-0.5, 0.5] };
    return plotly.react(
      byId("plot"),
      [{
        type: "scatter3d", mode: "markers", x, y, z, hoverinfo: "skip",
        marker: {
          size: Math.max(2, Math.min(6, 90 / Math.sqrt(chosen.points))),
          color: value, cmin: 0, cmax: 1, opacity: 1, line: { width: 0 },
          colorscale: ends.map((hex, i) => [i / (ends.length - 1), hex]),
        },
      }],
      {
        margin: { l: 0, r: 0, t: 0, b: 0 }, paper_bgcolor: "rgba(0,0,0,0)", showlegend: false,
        uirevision: "one view for all", // so that the next cloud is seen from the same side
        font: { color: colour("--ink") },
        modebar: { bgcolor: "rgba(0,0,0,0)", color: colour("--pale"), activecolor: colour("--accent") },
        scene: { xaxis: hidden, yaxis: hidden, zaxis: hidden, aspectmode: "cube", dragmode: "orbit", camera: HOME },
      },
      {
        displaylogo: false, responsive: true, scrollZoom: true,
        modeBarButtonsToRemove: ["pan3d", "tableRotation", "resetCameraLastSave3d", "hoverClosest3d", "zoom3d", "orbitRotation"],
      },
    );
  }

  /** One side, until plotly runs. */
  function flat() {
    const canvas = element("canvas");
    byId("plot").replaceChildren(canvas);
    draw(canvas, chosen);
    return null;
  }

  function plotFlat(reason) {
    trouble(`No 3-D view: ${reason}. The picture shows one side.`);
    return null;
  }

  function hasWebGL() {
    const context = element("canvas").getContext("webgl");
    context?.getExtension("WEBGL_lose_context")?.loseContext();
    return context !== null;
  }

  async function startPlotly(code) {
    // It measures text on a canvas that it reads back: Chromium warns unless it knows beforehand.
    const { getContext } = HTMLCanvasElement.prototype;
    HTMLCanvasElement.prototype.getContext = function (kind, options) {
      return getContext.call(this, kind, kind === "2d" ? { willReadFrequently: true, ...options } : options);
    };
    const script = document.createElement("script");
    script.textContent = new TextDecoder().decode(code);
    document.head.append(script);
    if (!window.Plotly) return plotFlat("plotly.js did not start");
    plotly = window.Plotly;
    byId("plot").replaceChildren();
    await plot();
    HTMLCanvasElement.prototype.getContext = getContext;
    return null;
  }

  byId("plot")?.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [-0.15, 0, 1], ArrowRight: [0.15, 0, 1], ArrowUp: [0, 0.15, 1], ArrowDown: [0, -0.15, 1], "+": [0, 0, 0.87], "-": [0, 0, 1.15] };
    const scene = byId("plot")._fullLayout?.scene;
    const step = steps[event.key];
    if (!step || !scene || !plotly.relayout) return;
    event.preventDefault();
    const { x, y, z } = scene.camera.eye;
    const far = Math.hypot(x, y, z) * step[2];
    const heading = Math.atan2(y, x) + step[0];
    const height = Math.max(-1.5, Math.min(1.5, Math.asin(z / Math.hypot(x, y, z)) + step[1]));
    plotly.relayout(byId("plot"), {
      "scene.camera.eye": { x: far * Math.cos(height) * Math.cos(heading), y: far * Math.cos(height) * Math.sin(heading), z: far * Math.sin(height) },
    });
  });

  // The chosen cloud

  function choose(cloud, bring = false) {
    chosen = cloud;
    byId("name").textContent = cloud.name;
    byId("name").title = cloud.name;
    const facts = [cloud.of > cloud.points ? `${cloud.points} of ${cloud.of} points` : `${cloud.of} points`];
    if (cloud.seconds) facts.push(cloud.seconds);
    if (cloud.note) facts.push(cloud.note);
    byId("note").replaceChildren();
    if (cloud.truth !== null) {
      byId("note").append(element("b", wrong(cloud) ? `wrong: it is ${classes[cloud.truth]}` : "right", wrong(cloud) ? "bad" : "good"), " · ");
    }
    byId("note").append(facts.join(" · "));
    byId("bars").replaceChildren(...cloud.top.map(([label, share], place) => {
      const row = element("div", "", place ? "" : "first");
      if (cloud.truth !== null && label === cloud.truth) row.classList.add("good");
      else if (cloud.truth !== null && place === 0) row.classList.add("bad");
      const value = element("dd");
      const bar = element("i");
      bar.style.setProperty("--share", share);
      value.append(bar, element("span", percent(share)));
      row.append(element("dt", classes[label]), value);
      return row;
    }));
    byId("colour-choice").hidden = !cloud.explained;
    for (const button of byId("grid").querySelectorAll("button")) {
      if (button.cloud === cloud) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    plot();
    const box = byId("plot").getBoundingClientRect();
    if (bring && (box.top < 0 || box.bottom > innerHeight)) byId("viewer").scrollIntoView({ behavior: "smooth" });
  }

  function step(by) {
    if (shown.length) choose(shown[(shown.indexOf(chosen) + by + shown.length) % shown.length]);
  }

  // The grid

  const watcher = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting || bytes === null) continue;
      watcher.unobserve(target);
      draw(target, target.closest("button").cloud);
    }
  }, { rootMargin: "200px" });

  function card(cloud) {
    const item = element("li");
    const button = element("button");
    button.type = "button";
    button.cloud = cloud;
    button.title = cloud.name;
    const [label, share] = cloud.top[0];
    const taken = element("span", `${classes[label]} ${percent(share)}`);
    if (cloud.truth !== null) taken.className = wrong(cloud) ? "bad" : "good";
    button.append(element("canvas"), element("b", cloud.name.split(/[\\/]/).pop()), taken);
    if (wrong(cloud)) button.append(element("span", `is ${classes[cloud.truth]}`, "of"));
    button.addEventListener("click", () => choose(cloud, true));
    item.append(button);
    return item;
  }

  function show(keep = false) {
    const words = byId("search").value.trim().toLowerCase();
    const text = (cloud) => [cloud.name, classes[cloud.top[0][0]], classes[cloud.truth] ?? ""].join(" ").toLowerCase();
    shown = clouds.filter((cloud) =>
      (cell === null ? only === "all" || wrong(cloud) : cloud.truth === cell[0] && cloud.top[0][0] === cell[1]) &&
      (!words || text(cloud).includes(words)));
    watcher.disconnect();
    byId("grid").replaceChildren(...shown.map(card));
    for (const canvas of byId("grid").querySelectorAll("canvas")) watcher.observe(canvas);
    if (!shown.length) byId("grid").append(element("li", "No such cloud is in this file.", "hint"));
    choices();
    for (const button of document.querySelectorAll("#matrix button")) {
      const mine = cell !== null && +button.dataset.truth === cell[0] && +button.dataset.predicted === cell[1];
      button.setAttribute("aria-pressed", String(mine));
    }
    if (shown.length && !(keep && shown.includes(chosen))) choose(shown[0]);
    else if (chosen) choose(chosen);
  }

  function choices() {
    if (!known) return;
    const made = [["all", `All (${clouds.length})`]];
    const mistakes = clouds.filter(wrong).length;
    if (mistakes) made.unshift(["mistakes", `Worst mistakes first (${mistakes})`]);
    if (cell) made.push(["cell", `${classes[cell[0]]} taken for ${classes[cell[1]]} (${shown.length})`]);
    byId("choices").replaceChildren(...made.map(([name, text]) => {
      const button = element("button", text);
      button.type = "button";
      button.setAttribute("aria-pressed", String(cell ? name === "cell" : name === only));
      button.addEventListener("click", () => {
        if (name === "cell") return;
        [cell, only] = [null, name];
        show();
      });
      return button;
    }));
  }

  // Start

  async function start() {
    if (!clouds.length) return;
    byId("previous").addEventListener("click", () => step(-1));
    byId("next").addEventListener("click", () => step(1));
    byId("search").addEventListener("input", () => show(true));
    const again = () => show(true);
    byId("colour").addEventListener("change", again);
    night.addEventListener("change", again);
    byId("matrix")?.addEventListener("click", (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      cell = [+button.dataset.truth, +button.dataset.predicted];
      show();
    });
    if (typeof DecompressionStream === "undefined") {
      trouble("This browser is too old to unpack the clouds: use one of 2023 or later.");
      return;
    }
    bytes = await unpacked("points");
    show();
    performance.mark("clouds");
    if (!hasWebGL()) {
      plotFlat("this browser has no WebGL");
    } else {
      await startPlotly(await unpacked("plotly"));
    }
    performance.mark("view");
    document.documentElement.dataset.ready = "true";
  }

  start().catch((error) => trouble(`This report is damaged: ${error.message}`));
})();
