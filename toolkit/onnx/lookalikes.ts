/** Other kinds of files that people take for ONNX models, known by their first bytes. */
import { ModelError } from "../graph/errors.js";

/** First bytes of files that people take for ONNX models. */
const lookalikes: readonly { name: string; test: (b: Uint8Array, text: string) => boolean; hint?: string }[] = [
  { name: "a PNG image", test: (_, t) => t.startsWith("\x89PNG") },
  { name: "a JPEG image", test: (b) => b[0] === 0xff && b[1] === 0xd8 && b[2] === 0xff },
  {
    name: "a TensorFlow Lite model",
    test: (_, t) => t.slice(4, 8) === "TFL3",
    hint: "edgefit import turns it into ONNX",
  },
  {
    name: "a model in ONNX Runtime's own ORT format",
    test: (_, t) => t.slice(4, 8) === "ORTM",
    hint: "give the .onnx file that it was made from",
  },
  {
    name: "a ZIP archive, such as a PyTorch checkpoint",
    test: (_, t) => t.startsWith("PK\x03\x04"),
    hint: "export the model to ONNX, for example with torch.onnx.export",
  },
  {
    name: "a pickle, such as an old PyTorch checkpoint",
    test: (b) => b[0] === 0x80 && b[1] >= 2 && b[1] <= 5 && b[2] !== 0x08,
    hint: "export the model to ONNX",
  },
  { name: "a gzip archive", test: (b) => b[0] === 0x1f && b[1] === 0x8b, hint: "decompress it first" },
  {
    name: "an HDF5 file, such as a Keras model",
    test: (_, t) => t.startsWith("\x89HDF"),
    hint: "edgefit import turns it into ONNX",
  },
  { name: "a GGUF model", test: (_, t) => t.startsWith("GGUF") },
  {
    name: "a Git LFS pointer, not the model itself",
    test: (_, t) => t.startsWith("version https://git-lfs"),
    hint: "run `git lfs pull`",
  },
];

/** Throws ModelError `not-onnx`, saying what the file is instead, when its first bytes are those of another format or text. */
export function refuseLookalikes(bytes: Uint8Array): void {
  const head = Array.from(bytes.subarray(0, 64), (b) => String.fromCharCode(b)).join("");
  const other = lookalikes.find((k) => k.test(bytes, head));
  if (other) throw new ModelError("not-onnx", `this is ${other.name}, not an ONNX model`, { hint: other.hint });
  if (/^[\t\n\r\x20-\x7e]+$/.test(head)) {
    throw new ModelError(
      "not-onnx",
      `this is a text file, not an ONNX model (it starts with ${JSON.stringify(head.slice(0, 16))})`,
    );
  }
}
