/** What every control of a form is given. */
import type { FormOption } from "../api/types";

export type FieldProps = {
  option: FormOption;
  value: unknown;
  disabled: boolean;
  invalid: boolean;
  id: string;
  describedBy: string;
  set: (value: unknown) => void;
};
