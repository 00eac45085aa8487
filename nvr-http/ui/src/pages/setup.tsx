import { type FormEvent, useState } from "react";
import { useLocation } from "wouter";
import { type ApiError, wordsOf } from "~/api/client";
import { MIN_PASSWORD, setUp } from "~/api/session";
import { Button } from "~/components/button";
import { TextField } from "~/components/field";
import { Logo } from "~/components/logo";
import { useT } from "~/i18n";

/** The page of the one-time link: the first account. The token is in the fragment, which no server or proxy logs. */
export function Setup() {
  const t = useT();
  const [, go] = useLocation();
  const [token] = useState(() => new URLSearchParams(window.location.hash.slice(1)).get("token") ?? "");
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [repeat, setRepeat] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<{ field: "password" | "repeat" | "all"; text: string } | null>(null);

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    if (password.length < MIN_PASSWORD) return setError({ field: "password", text: t("common.setup_short") });
    if (password !== repeat) return setError({ field: "repeat", text: t("common.setup_differs") });
    setBusy(true);
    setError(null);
    try {
      await setUp(token, name, password);
      go("/", { replace: true });
    } catch (e) {
      const known = e as ApiError;
      setError({ field: "all", text: known.kind === "offline" ? t("common.offline_title") : wordsOf(known) });
    }
    setBusy(false);
  };

  return (
    <main className="entry">
      <form className="entry-box" onSubmit={submit}>
        <div className="entry-head"><Logo size={36} /><h1>{t("common.setup_title")}</h1></div>
        {token ? (
          <>
            <p className="muted">{t("common.setup_text")}</p>
            <TextField label={t("common.login_name")} autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus value={name} onChange={(e) => setName(e.target.value)} />
            <TextField label={t("common.login_password")} type="password" autoComplete="new-password" required hint={t("common.setup_short")} value={password} onChange={(e) => setPassword(e.target.value)} error={error?.field === "password" ? error.text : null} />
            <TextField label={t("common.setup_repeat")} type="password" autoComplete="new-password" required value={repeat} onChange={(e) => setRepeat(e.target.value)} error={error?.field === "repeat" ? error.text : null} />
            {error?.field === "all" && <p className="field-error" role="alert">{error.text}</p>}
            <Button kind="primary" type="submit" busy={busy}>{t("common.setup_done")}</Button>
          </>
        ) : (
          <p className="note">{t("common.setup_no_token")}</p>
        )}
      </form>
    </main>
  );
}
