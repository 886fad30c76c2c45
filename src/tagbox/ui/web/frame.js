// A page inside a frame of the same server makes the frame as high as itself.

export function fitFrame() {
  const frame = window.frameElement;
  if (!frame) return;
  document.documentElement.classList.add("framed");
  const fit = () => {
    frame.style.height = `${document.body.offsetHeight}px`;
  };
  new ResizeObserver(fit).observe(document.body);
}
