/** Error of images, labels and preprocessing. */
import { EdgefitError } from "../graph/errors.js";

/** The data set, one of its files, or how it is to be preprocessed does not fit. Exit status 1. */
export class DataError extends EdgefitError {}
