/// <reference lib="dom" />
/** The picture's source in a page: a camera with all that can happen to it, or a video file. */

/** What keeps the picture away, in words for people. */
export interface CameraTrouble {
  kind: "denied" | "none" | "busy" | "insecure" | "unplugged" | "unplayable";
  title: string;
  advice: string;
}

const troubles: Record<CameraTrouble["kind"], Omit<CameraTrouble, "kind">> = {
  denied: {
    title: "The camera is not allowed",
    advice: "Allow the camera for this page in the address bar, then try again. Pictures never leave this device.",
  },
  none: { title: "No camera was found", advice: "Connect a camera, or open a video file." },
  busy: {
    title: "The camera is in use",
    advice: "Another program holds it. Close that program, then try again.",
  },
  insecure: {
    title: "This address may not use the camera",
    advice: "Browsers give the camera to https:// and localhost only. Open the page there, or open a video file.",
  },
  unplugged: { title: "The camera was disconnected", advice: "Connect it again: the page goes on by itself." },
  unplayable: {
    title: "This video cannot be played",
    advice: "The browser knows mp4 and webm best. Try another file.",
  },
};

export const trouble = (kind: CameraTrouble["kind"]): CameraTrouble => ({ kind, ...troubles[kind] });

/** Which trouble an error of `getUserMedia` is (Media Capture and Streams, section 10.2.1). */
export function troubleOf(error: unknown): CameraTrouble {
  switch ((error as { name?: string } | null)?.name) {
    case "NotAllowedError":
    case "SecurityError":
      return trouble("denied");
    case "NotFoundError":
    case "OverconstrainedError":
      return trouble("none");
    default:
      return trouble("busy");
  }
}

/** Starts the camera in a video element. Throws what `troubleOf` understands, or a CameraTrouble itself. */
export async function startCamera(video: HTMLVideoElement, onUnplugged: () => void): Promise<void> {
  if (!navigator.mediaDevices) throw trouble("insecure");
  const stream = await navigator.mediaDevices.getUserMedia({
    audio: false,
    video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 30 }, facingMode: "user" },
  });
  for (const track of stream.getVideoTracks()) track.addEventListener("ended", onUnplugged);
  stopSource(video);
  video.srcObject = stream;
  await video.play();
}

/** Plays a video file in place of the camera. */
export async function startFile(video: HTMLVideoElement, file: File): Promise<void> {
  stopSource(video);
  video.src = URL.createObjectURL(file);
  video.loop = true;
  try {
    await video.play();
  } catch {
    throw trouble("unplayable");
  }
}

/** Lets go of camera or file. */
export function stopSource(video: HTMLVideoElement): void {
  const stream = video.srcObject as MediaStream | null;
  for (const track of stream?.getTracks() ?? []) track.stop();
  video.srcObject = null;
  if (video.src) {
    URL.revokeObjectURL(video.src);
    video.removeAttribute("src");
  }
}
