/** What can go wrong while a net learns. */
import { EdgefitError } from "../graph/errors.js";

/** Training went off the rails: the loss is no longer a number. */
export class TrainingError extends EdgefitError {}
