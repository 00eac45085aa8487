import { Download } from "lucide-react";
import { useEffect, useState } from "react";
import { ask, url } from "~/api/client";
import { useQuery } from "~/api/query";
import { ErrorNote, Spinner } from "~/components/misc";
import { Logo } from "~/components/logo";
import { useT } from "~/i18n";
import { duration, moment } from "~/lib/format";

interface Shared {
  camera: string;
  name: string;
  from: string;
  to: string;
  expires: string;
}

/** A stretch of footage that somebody was sent a link to. */
export function Share({ token }: { token: string }) {
  const t = useT();
  const [broken, setBroken] = useState(false);
  const path = `/shares/${encodeURIComponent(token)}`;
  const { data, error, reload } = useQuery(`share ${token}`, (signal) => ask<Shared>(path, { signal }));
  useEffect(() => {
    document.title = `${t("share.title")} · nvr`;
  }, [t]);
  const gone = error?.status === 404;
  return (
    <main className="entry">
      <div className="shared">
        <header className="shared-head">
          <Logo size={26} />
          <h1>{data?.name ?? t("share.title")}</h1>
        </header>
        {!data && !error && <Spinner />}
        {gone && <p className="note">{t("share.over")}</p>}
        {error && !gone && <ErrorNote error={error} onRetry={() => void reload()} />}
        {data && (
          <>
            <video className="shared-video" src={url(`${path}/export.mp4`)} poster={url(`${path}/snapshot.jpg`)} controls playsInline aria-label={data.name} onError={() => setBroken(true)} />
            {broken && <p className="note" role="alert">{t("share.unplayable")}</p>}
            <div className="row">
              <div className="grow">
                <p>{moment(data.from)} · {duration((Date.parse(data.to) - Date.parse(data.from)) / 1000)}</p>
                <p className="muted">{t("share.until", { when: moment(data.expires) })}</p>
              </div>
              <a className="button" href={url(`${path}/export.mp4`, { format: "mp4", download: true })} download><Download size={15} aria-hidden />{t("common.download")}</a>
            </div>
          </>
        )}
      </div>
    </main>
  );
}
