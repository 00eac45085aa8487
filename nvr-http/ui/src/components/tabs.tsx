import { type KeyboardEvent, type ReactNode, useId } from "react";

/** Tabs with their panel; arrows go from one to the next. */
export function Tabs<K extends string>({ label, tabs, value, onChange, children }: { label: string; tabs: { key: K; label: ReactNode }[]; value: K; onChange(key: K): void; children: ReactNode }) {
  const id = useId();
  const onKeyDown = (e: KeyboardEvent<HTMLDivElement>) => {
    const now = tabs.findIndex((tab) => tab.key === value);
    const to = { ArrowRight: (now + 1) % tabs.length, ArrowLeft: (now - 1 + tabs.length) % tabs.length, Home: 0, End: tabs.length - 1 }[e.key];
    const tab = to === undefined ? undefined : tabs[to];
    if (!tab) return;
    e.preventDefault();
    onChange(tab.key);
    e.currentTarget.querySelector<HTMLElement>(`#${CSS.escape(`${id}-${tab.key}`)}`)?.focus();
  };
  return (
    <>
      <div className="tabs" role="tablist" aria-label={label} onKeyDown={onKeyDown}>
        {tabs.map((tab) => (
          <button
            key={tab.key}
            id={`${id}-${tab.key}`}
            type="button"
            role="tab"
            className="tab"
            aria-selected={tab.key === value}
            aria-controls={`${id}-panel`}
            tabIndex={tab.key === value ? 0 : -1}
            onClick={() => onChange(tab.key)}
          >
            {tab.label}
          </button>
        ))}
      </div>
      <div id={`${id}-panel`} role="tabpanel" aria-labelledby={`${id}-${value}`}>
        {children}
      </div>
    </>
  );
}

/** One of a few choices, side by side. */
export function Segmented<K extends string>({ label, options, value, onChange }: { label: string; options: { key: K; label: ReactNode; title?: string }[]; value: K; onChange(key: K): void }) {
  const id = useId();
  return (
    <div className="segmented" role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <label key={option.key} title={option.title} className="segmented-option">
          <input type="radio" name={id} className="hidden" checked={option.key === value} onChange={() => onChange(option.key)} aria-label={option.title} />
          <span>{option.label}</span>
        </label>
      ))}
    </div>
  );
}
