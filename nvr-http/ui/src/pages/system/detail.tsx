import { ask } from "~/api/client";
import { useQuery } from "~/api/query";
import { Select } from "~/components/field";
import { toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { moment } from "~/lib/format";

interface Levels {
  filter: string;
  configured: string;
  gstreamer: string;
  until: string | null;
}

/** What is logged for the next quarter of an hour. */
const CHOICES = {
  configured: null,
  debug: "info,nvr_core=debug,nvr_http=debug,nvr=debug",
  trace: "info,nvr_core=trace,nvr_http=trace,nvr=trace",
} as const;
type Choice = keyof typeof CHOICES;

/** How much the recorder logs: more of it for a while. What it does not log can be shown by no filter. */
export function Detail() {
  const t = useT();
  const levels = useQuery("log-level", (signal) => ask<Levels>("/log-level", { signal }), { every: 15_000 });
  const now = levels.data;
  // Where it cannot be changed there is nothing to choose.
  if (!now) return null;
  const chosen = now.until ? (Object.keys(CHOICES) as Choice[]).find((c) => CHOICES[c] === now.filter) : "configured";
  const choose = (choice: Choice) =>
    ask<Levels>("/log-level", { method: "PUT", body: { filter: CHOICES[choice], for_seconds: 900 } }).then(() => levels.reload(), toastError);
  return (
    <div className="filters card-filters log-detail">
      <Select label={t("system.log_detail")} value={chosen ?? "other"} onChange={(e) => void choose(e.target.value as Choice)}>
        <option value="configured">{t("system.detail_configured", { filter: now.configured })}</option>
        <option value="debug">{t("system.detail_debug")}</option>
        <option value="trace">{t("system.detail_trace")}</option>
        {!chosen && <option value="other">{now.filter}</option>}
      </Select>
      {now.until && <span className="muted">{t("system.detail_until", { time: moment(now.until) })}{now.gstreamer && ` · GStreamer ${now.gstreamer}`}</span>}
    </div>
  );
}
