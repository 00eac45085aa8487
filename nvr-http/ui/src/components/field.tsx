import { type InputHTMLAttributes, type ReactNode, type SelectHTMLAttributes, useId } from "react";

interface Around {
  label: string;
  hint?: ReactNode;
  error?: string | null | undefined;
  /** The label is for screen readers only. */
  hideLabel?: boolean;
}

function Frame({ label, hint, error, hideLabel, id, children }: Around & { id: string; children: ReactNode }) {
  return (
    <div className="field">
      <label htmlFor={id} className={hideLabel ? "hidden" : "field-label"}>{label}</label>
      {children}
      {hint && <p className="field-hint" id={`${id}-hint`}>{hint}</p>}
      {error && <p className="field-error" id={`${id}-error`} role="alert">{error}</p>}
    </div>
  );
}

const described = (id: string, { hint, error }: Around) => [hint && `${id}-hint`, error && `${id}-error`].filter(Boolean).join(" ") || undefined;

export function TextField({ label, hint, error, hideLabel, ...rest }: Around & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <Frame {...{ label, hint, error, hideLabel, id }}>
      <input id={id} className="input" aria-invalid={!!error || undefined} aria-describedby={described(id, { label, hint, error })} {...rest} />
    </Frame>
  );
}

export function Select({ label, hint, error, hideLabel, children, ...rest }: Around & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  return (
    <Frame {...{ label, hint, error, hideLabel, id }}>
      <select id={id} className="input select" aria-invalid={!!error || undefined} aria-describedby={described(id, { label, hint, error })} {...rest}>
        {children}
      </select>
    </Frame>
  );
}

export function Checkbox({ label, hint, ...rest }: { label: ReactNode; hint?: string } & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <div className="check">
      <input id={id} type="checkbox" aria-describedby={hint ? `${id}-hint` : undefined} {...rest} />
      <label htmlFor={id}>{label}</label>
      {hint && <p className="field-hint" id={`${id}-hint`}>{hint}</p>}
    </div>
  );
}
