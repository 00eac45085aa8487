import { type FormEvent, useState } from "react";
import { ApiError } from "~/api/client";
import { expired, logIn } from "~/api/session";
import { Button } from "~/components/button";
import { Checkbox, TextField } from "~/components/field";
import { Logo } from "~/components/logo";
import { useT } from "~/i18n";
import { at } from "~/lib/base";
import { useStore } from "~/lib/store";

export function Login({ setup, sso }: { setup: boolean; sso: string | null }) {
  const t = useT();
  const ended = useStore(expired);
  const [name, setName] = useState("");
  const [password, setPassword] = useState("");
  const [remember, setRemember] = useState(false);
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<string | null>(null);
  // A login by the provider that came to nothing comes back with the reason.
  const refused = new URLSearchParams(location.search).get("sso");

  const submit = async (e: FormEvent) => {
    e.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await logIn(name, password, remember);
    } catch (e) {
      const known = e as ApiError;
      setPassword("");
      setError(
        known.status === 401 ? t("common.login_wrong")
        : known.status === 429 ? t("common.login_wait", { n: known.retryAfter ?? 60 })
        : known.kind === "offline" ? t("common.offline_title")
        : known.message,
      );
    }
    setBusy(false);
  };

  return (
    <main className="entry">
      <form className="entry-box" onSubmit={submit}>
        <div className="entry-head"><Logo size={36} /><h1>{t("common.login")}</h1></div>
        {setup && <p className="note">{t("common.setup_needed")}</p>}
        {ended && !error && <p className="note" role="status">{t("common.login_expired")}</p>}
        <TextField label={t("common.login_name")} autoComplete="username" autoCapitalize="none" spellCheck={false} required autoFocus value={name} onChange={(e) => setName(e.target.value)} />
        <TextField label={t("common.login_password")} type="password" autoComplete="current-password" required value={password} onChange={(e) => setPassword(e.target.value)} error={error} />
        <Checkbox label={t("common.login_remember")} checked={remember} onChange={(e) => setRemember(e.target.checked)} />
        <Button kind="primary" type="submit" busy={busy}>{t("common.login")}</Button>
        {sso && refused && !error && <p className="note" role="alert">{t(refused === "denied" ? "common.sso_denied" : refused === "taken" ? "common.sso_taken" : "common.sso_failed", { name: sso })}</p>}
        {sso && <a className="button" href={at("/api/v1/session/oidc")}>{t("common.sso", { name: sso })}</a>}
      </form>
    </main>
  );
}
