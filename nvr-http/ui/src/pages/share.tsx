import { Logo } from "~/components/logo";
import { useT } from "~/i18n";

/** A stretch of footage that somebody was sent a link to. */
export function Share({ token }: { token: string }) {
  const t = useT();
  return (
    <main className="entry" data-token={token}>
      <div className="entry-head"><Logo size={36} /><h1>{t("common.loading")}</h1></div>
    </main>
  );
}
