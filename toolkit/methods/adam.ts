/** Adam for the few numbers that describe an architecture (Kingma and Ba, ICLR 2015); weights are updated by ONNX Runtime. */

export interface AdamOptions {
  learningRate: number;
  /** Default 0.9. */
  beta1?: number;
  /** Default 0.999. */
  beta2?: number;
  /** Default 1e-8. */
  epsilon?: number;
  /** L2 penalty, added to the gradient. Default 0. */
  weightDecay?: number;
}

/** Changes `values` in place, step by step. */
export class Adam {
  private step = 0;
  private readonly first: Float64Array;
  private readonly second: Float64Array;

  constructor(
    readonly values: Float64Array,
    private readonly o: AdamOptions,
  ) {
    this.first = new Float64Array(values.length);
    this.second = new Float64Array(values.length);
  }

  /** @param share of the learning rate */
  update(gradient: ArrayLike<number>, share = 1): void {
    const { learningRate, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, weightDecay = 0 } = this.o;
    this.step++;
    for (let i = 0; i < this.values.length; i++) {
      const g = gradient[i] + weightDecay * this.values[i];
      this.first[i] = beta1 * this.first[i] + (1 - beta1) * g;
      this.second[i] = beta2 * this.second[i] + (1 - beta2) * g * g;
      const mean = this.first[i] / (1 - beta1 ** this.step);
      const deviation = Math.sqrt(this.second[i] / (1 - beta2 ** this.step));
      this.values[i] -= (share * learningRate * mean) / (deviation + epsilon);
    }
  }
}
