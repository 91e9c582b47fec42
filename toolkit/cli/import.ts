/** `edgefit import`: a TensorFlow Lite model as an ONNX file. */
import type { Argv } from "yargs";
import type { Command, FlagsOf } from "./command.js";
import { examples, given } from "./flags.js";
import { importSummary } from "./summarizeModel.js";

const group = "Import:";

const declare = (y: Argv) =>
  examples(
    y
      .positional("model", { type: "string", demandOption: true, describe: "the TensorFlow Lite file" })
      .option("out", {
        type: "string",
        requiresArg: true,
        demandOption: true,
        group,
        describe: "the ONNX file to write",
      })
      .option("layout", {
        choices: ["nhwc", "nchw"] as const,
        group,
        describe: "of inputs and outputs with four axes (nhwc, as in the file); inside it is always nchw",
      })
      .option("float-io", {
        type: "boolean",
        group,
        describe: "float32 inputs and outputs for a quantised model; without it they keep their integers",
      })
      .option("dequantize", {
        type: "boolean",
        group,
        describe: "float weights and activations instead of the file's integers (QuantizeLinear, DequantizeLinear)",
      })
      .option("batch", {
        choices: ["file", "any"] as const,
        group,
        describe: "images per call: as the file says (file), or any number",
      }),
    ["import model.tflite --out model.onnx", "same names, types and layout of inputs and outputs"],
    ["import model.tflite --out model.onnx --layout nchw --batch any", "as ONNX models usually are"],
    ["import int8.tflite --out float.onnx --dequantize", "the float model behind a quantised one"],
    ["fit model.tflite --budget 60%", "no import needed: every command reads .tflite files too"],
  );

export const importCommand: Command<FlagsOf<typeof declare>> = {
  command: "import <model>",
  describe: "Convert a TensorFlow Lite model to ONNX",
  builder: declare,
  async run({ model, out, layout, batch, dequantize, ...flags }, { terminal }) {
    const { importModel } = await import("../importModel.js");
    const { writeModelFile } = await import("../onnx/index.js");
    const options = given({ layout, batch, dequantize, floatIo: flags["float-io"] });
    const { graph, inspection } = await importModel({ model, ...options });
    await writeModelFile(out, graph);
    const integer = inspection.inputs.find((v) => v.elemType !== "float32");
    if (integer)
      terminal.note(
        `input "${integer.name}" is ${integer.elemType}: fit and validate feed float32 images; they read the .tflite file itself, or one imported with --float-io`,
      );
    terminal.result((colors) => importSummary(out, inspection, colors), { out, ...inspection });
  },
};
