// Gradio takes no file that the browser does not call audio: recordings in mp4 and webm it calls video, and others
// nothing at all. Each file is called audio here; the server looks into it.

const AUDIO = "audio/x-recording";

const isAudio = (file) => file.type.startsWith("audio/");

function calledAudio(files) {
  const transfer = new DataTransfer();
  for (const file of files) {
    transfer.items.add(isAudio(file) ? file : new File([file], file.name, { type: AUDIO }));
  }
  return transfer;
}

document.addEventListener(
  "change",
  ({ target }) => {
    if (target.type === "file" && ![...target.files].every(isAudio)) {
      target.files = calledAudio(target.files).files;
    }
  },
  true,
);

document.addEventListener(
  "drop",
  (event) => {
    const files = event.dataTransfer?.files ?? [];
    if ([...files].every(isAudio)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const dataTransfer = calledAudio(files);
    event.target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  },
  true,
);

// The dialog of the system is to offer all of them, too.
document.addEventListener(
  "click",
  () => document.querySelectorAll("input[type=file]").forEach((input) => input.removeAttribute("accept")),
  true,
);
