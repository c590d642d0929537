// Charts can be saved as SVG files that look as they do on the page.

const LOOKS = ["fill", "stroke", "stroke-width", "stroke-dasharray", "opacity", "font-family", "font-size", "font-weight", "text-anchor"];

function standalone(svg) {
  const copy = svg.cloneNode(true);
  const [from, to] = [svg, copy].map((root) => [...root.querySelectorAll("*")]);
  from.forEach((element, number) => {
    const style = getComputedStyle(element);
    for (const name of LOOKS) to[number].setAttribute(name, style.getPropertyValue(name));
    to[number].removeAttribute("class");
  });
  const [, , width, height] = svg.getAttribute("viewBox").split(" ");
  const ground = document.createElementNS(svg.namespaceURI, "rect");
  for (const [name, value] of Object.entries({ width, height, fill: getComputedStyle(svg.closest("figure")).backgroundColor })) ground.setAttribute(name, value);
  copy.prepend(ground);
  for (const [name, value] of Object.entries({ width, height })) copy.setAttribute(name, value);
  return new XMLSerializer().serializeToString(copy);
}

for (const svg of document.querySelectorAll("figure.chart > svg.plot")) {
  const link = document.createElement("a");
  const name = svg.closest("figure").querySelector("figcaption").textContent.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60);
  link.className = "save";
  link.textContent = "Save as SVG";
  link.download = `${name}.svg`;
  const fill = () => (link.href = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(standalone(svg))}`);
  link.addEventListener("click", fill); // the colours may have changed
  fill();
  svg.after(link);
}
