// Drags over an element, by mouse, pen or finger, as rectangles of shares of its width and height.

const DRAG_PIXELS = 5;

// Call `onClick(x)` for a press without a drag, `onDrag(rectangle)` at the end of one, `onMove(rectangle)` meanwhile,
// and `onCancel()` where it comes to nothing: a finger that moves up or down scrolls the page instead. Presses on parts of
// the target that are themselves dragged, `hasOwnDrag(event)`, are left to them.
export function watchDrags(target, { onClick, onMove, onDrag, onCancel, hasOwnDrag }) {
  let begin = null;
  const place = (event) => {
    const box = target.getBoundingClientRect();
    const within = (value) => Math.max(0, Math.min(1, value));
    return { x: within((event.clientX - box.left) / box.width), y: within(1 - (event.clientY - box.top) / box.height) };
  };
  const rectangle = (event) => {
    const end = place(event);
    return {
      left: Math.min(begin.x, end.x), right: Math.max(begin.x, end.x),
      bottom: Math.min(begin.y, end.y), top: Math.max(begin.y, end.y),
    };
  };
  target.addEventListener("pointerdown", (event) => {
    if (event.button || hasOwnDrag(event)) return;
    begin = { ...place(event), clientX: event.clientX, clientY: event.clientY, isDrag: false };
    target.setPointerCapture(event.pointerId);
  });
  target.addEventListener("pointermove", (event) => {
    if (!begin) return;
    begin.isDrag ||= Math.hypot(event.clientX - begin.clientX, event.clientY - begin.clientY) > DRAG_PIXELS;
    if (begin.isDrag) onMove(rectangle(event));
  });
  target.addEventListener("pointerup", (event) => {
    if (begin?.isDrag) onDrag(rectangle(event));
    else if (begin) onClick(begin.x);
    begin = null;
  });
  target.addEventListener("pointercancel", () => {
    if (begin?.isDrag) onCancel();
    begin = null;
  });
}
