/** What both sides of CURVE's handshake have (curve-client.ts, curve-server.ts). */
import type { ErrorCode } from "../../../core/errors.js";
import { type CurveBox, type CurvePrimitives, type KeyPair, keyPairOf } from "./curve-box.js";
import { type CurveRandom, needKey, SYSTEM_RANDOM } from "./curve-command.js";
import { type FrameCipher, failed, type MechanismOptions, type Step } from "./mechanism.js";
import { Sealer } from "./sealer.js";

export abstract class CurveSide<State> {
  readonly name = "CURVE";
  /** Set with `done`. */
  cipher: FrameCipher | undefined = undefined;
  protected readonly options: MechanismOptions;
  protected readonly permanent: KeyPair;
  protected readonly random: CurveRandom;
  protected state: State | { readonly at: "start" | "over" } = { at: "start" };
  readonly #primitives: CurvePrimitives;

  /** @throws InvalidArgumentError `EINVAL` without a secret key; as `primitives.load` */
  constructor(options: MechanismOptions, primitives: CurvePrimitives, random = SYSTEM_RANDOM) {
    this.options = options;
    this.permanent = keyPairOf(needKey(options.curveSecretKey, "a secret key"));
    this.random = random;
    this.#primitives = primitives;
    primitives.load();
  }

  get loading(): Promise<void> | undefined {
    return this.#primitives.load();
  }

  protected get box(): CurveBox {
    return this.#primitives.box();
  }

  sealer(): Sealer {
    return new Sealer(this.cipher as FrameCipher);
  }

  protected fail(code: ErrorCode, what: string): Step {
    return this.end(failed(code, `CURVE: ${what}`));
  }

  protected end(step: Step): Step {
    this.state = { at: "over" };
    return step;
  }
}
