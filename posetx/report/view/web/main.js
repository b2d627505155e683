// Everything together. `posetxView` is for whoever looks from outside: tests, other pages' scripts.

function begin() {
  fillHeader();
  let stage = null;
  const changed = () => stage && stage.draw();
  const figures = CONTENT.subjects.map((subject) => new Figure(subject, changed));
  stage = new Stage(byId("canvas"), figures);
  const bar = new Bar(stage, figures);
  listen(stage, bar);
  stage.resize();
  window.posetxView = {
    figures,
    stage,
    bar,
    vertex: (figure, i) => figures[figure].vertex(i),
    go: (share) => bar.go(share),
    framesDrawn: () => stage.frames,
  };
  document.documentElement.dataset.ready = "yes";
}

try {
  begin();
} catch (error) {
  byId("trouble").hidden = false;
  byId("trouble").textContent = `This page cannot be drawn here, it needs a browser with WebGL 2: ${error.message}`;
  document.querySelector("footer").hidden = true;
  document.documentElement.dataset.ready = "no";
  throw error;
}
