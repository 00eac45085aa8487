import type { ButtonHTMLAttributes, ReactNode, Ref } from "react";

export interface ButtonProps extends Omit<ButtonHTMLAttributes<HTMLButtonElement>, "children"> {
  kind?: "plain" | "primary" | "danger" | "ghost";
  size?: "small" | "normal";
  icon?: ReactNode;
  /** Shown; without it `label` is needed. */
  children?: ReactNode;
  /** Name of a button that is an icon only; also its tooltip. */
  label?: string;
  pressed?: boolean;
  busy?: boolean;
  ref?: Ref<HTMLButtonElement>;
}

export function Button({ kind = "plain", size = "normal", icon, children, label, pressed, busy, className = "", disabled, ...rest }: ButtonProps) {
  const classes = ["button", `button-${kind}`, size === "small" && "button-small", !children && "button-icon", className].filter(Boolean).join(" ");
  return (
    <button type="button" className={classes} aria-label={label} title={label} aria-pressed={pressed} aria-busy={busy || undefined} disabled={disabled || busy} {...rest}>
      {icon}
      {children !== undefined && <span>{children}</span>}
    </button>
  );
}
