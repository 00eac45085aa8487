import { BellOff, Check, Send, Settings } from "lucide-react";
import { useState } from "react";
import { Link } from "wouter";
import { type Alert, type Channel, useAlerts } from "~/api/alerts";
import { useCameras } from "~/api/cameras";
import { ask, post, remove } from "~/api/client";
import { useQuery } from "~/api/query";
import { useMay } from "~/api/session";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select } from "~/components/field";
import { Badge, Card, PageHead, Spinner } from "~/components/misc";
import { type Column, Table } from "~/components/table";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, moment } from "~/lib/format";
import { named } from "~/lib/named";

const TONES = { info: "none", warning: "warn", critical: "bad" } as const;

/** Kinds that have words of the page's own. */
const KINDS = ["camera_offline", "restarts", "reconnects", "segment_size", "upload_failures", "upload_late", "disk_full", "storage", "emergency", "job_failed", "clock", "detection"] as const;

/** What an alert is about; its own words are the recorder's. */
function kindOf(t: ReturnType<typeof useT>, alert: Alert): string | null {
  const kind = KINDS.find((k) => k === alert.kind);
  return kind ? t(`alerts.kind_${kind}`) : null;
}

/** What is wrong, what was, and the channels it is told by. */
export default function AlertsPage() {
  const t = useT();
  const operator = useMay("operator");
  const alerts = useAlerts();
  const cameras = useCameras().data;
  const [muting, setMuting] = useState(false);
  const act = (what: Promise<unknown>) => void what.then(() => alerts.reload(), toastError);
  const { data, error } = alerts;
  const head = (
    <PageHead title={t("alerts.nav")}>
      {operator && <Button icon={<BellOff size={15} />} onClick={() => setMuting(true)}>{t("alerts.mute")}</Button>}
    </PageHead>
  );
  if (!data) return <>{head}{error ? <Card><Unavailable error={error} what={t("alerts.absent")} onRetry={() => void alerts.reload()} /></Card> : <div className="center"><Spinner /></div>}</>;
  const what: Column<Alert> = {
    key: "what",
    label: t("alerts.what"),
    cell: (a) => <span className="row"><Badge tone={TONES[a.severity]} dot>{t(`alerts.severity_${a.severity}`)}</Badge><span>{kindOf(t, a) && <b>{kindOf(t, a)}: </b>}{named(a.summary, cameras)}</span></span>,
  };
  const since: Column<Alert> = { key: "since", label: t("alerts.since"), sort: (a) => a.since, cell: (a) => <span title={moment(a.since)}>{a.resolved ? moment(a.since) : ago(a.since)}</span> };
  return (
    <>
      {head}
      <div className="stack">
        {data.mutes.map((m) => (
          <div key={m.id} className="note" role="status">
            <div>{t("alerts.muted", { time: moment(m.until) })}{[m.rule, cameras?.find((c) => c.id === m.camera)?.name ?? m.camera].filter(Boolean).map((w) => ` · ${w}`)}</div>
            {operator && <Button size="small" onClick={() => act(remove(`/alerts/mutes/${m.id}`))}>{t("alerts.unmute")}</Button>}
          </div>
        ))}
        <Card title={t("alerts.active")}>
          <Table
            caption={t("alerts.active")}
            rows={data.active}
            rowKey={(a) => a.id}
            empty={<p className="card-text muted">{t("alerts.none")}</p>}
            columns={[what, since, {
              key: "state",
              label: t("alerts.state"),
              align: "end",
              cell: (a) => a.acknowledged
                ? <span className="muted">{a.acknowledged_by ? t("alerts.acknowledged_by", { name: a.acknowledged_by }) : t("alerts.acknowledged")}</span>
                : operator
                  ? <Button size="small" icon={<Check size={14} />} title={a.told ? t("alerts.told", { time: ago(a.told) }) : t("alerts.untold")} onClick={() => act(post(`/alerts/${a.id}/acknowledge`))}>{t("alerts.acknowledge")}</Button>
                  : <span className="muted">{a.told ? t("alerts.told", { time: ago(a.told) }) : t("alerts.untold")}</span>,
            }]}
          />
        </Card>
        {operator && <Channels />}
        <Card title={t("alerts.history")}>
          <Table
            caption={t("alerts.history")}
            rows={data.history}
            rowKey={(a) => a.id}
            empty={<p className="card-text muted">{t("alerts.no_history")}</p>}
            columns={[what, since, { key: "until", label: t("alerts.until"), sort: (a) => a.resolved ?? "", cell: (a) => (a.resolved ? moment(a.resolved) : "–") }]}
          />
        </Card>
      </div>
      {muting && <MuteDialog rules={[...new Set([...data.active, ...data.history].map((a) => a.rule))].sort()} onClose={() => setMuting(false)} onDone={() => { setMuting(false); void alerts.reload(); }} />}
    </>
  );
}

function Channels() {
  const t = useT();
  const admin = useMay("admin");
  const [busy, setBusy] = useState<string | null>(null);
  const channels = useQuery("alert channels", (signal) => ask<Channel[]>("/alerts/channels", { signal }), { every: 10_000 });
  const test = async (name: string) => {
    setBusy(name);
    try {
      await post(`/alerts/channels/${encodeURIComponent(name)}/test`);
      toast(t("alerts.tested", { name }));
    } catch (e) {
      toastError(e);
    }
    setBusy(null);
    void channels.reload();
  };
  if (channels.error && !channels.data) return null;
  return (
    <Card title={t("alerts.channels")} tools={admin && <Link href="/settings?section=alert_channel" className="button button-plain button-small"><Settings size={14} aria-hidden /><span>{t("alerts.settings")}</span></Link>}>
      {!channels.data ? <div className="center"><Spinner /></div> : !channels.data.length ? <p className="card-text muted">{t("alerts.no_channels")}</p> : (
        <ul className="targets">
          {channels.data.map((c) => (
            <li key={c.name}>
              <div className="row">
                <b>{c.name}</b>
                <Badge tone={c.failing_since ? "bad" : "good"} dot>{c.failing_since ? t("alerts.failing", { time: ago(c.failing_since) }) : t("alerts.works")}</Badge>
                <span className="row target-tools"><Button size="small" icon={<Send size={14} />} busy={busy === c.name} onClick={() => void test(c.name)}>{t("alerts.test")}</Button></span>
              </div>
              <p className="muted ellipsis">{c.kind} · {c.place}</p>
              <p className="target-counts"><span>{t("alerts.delivered", { n: c.delivered })}</span>{c.waiting > 0 && <span>{t("alerts.waiting", { n: c.waiting })}</span>}</p>
              {c.last_failure && <p className="tone-bad">{c.last_failure}</p>}
            </li>
          ))}
        </ul>
      )}
    </Card>
  );
}

const HOURS = [1, 4, 8];
const DAYS = [1, 7, 30];

function MuteDialog({ rules, onClose, onDone }: { rules: string[]; onClose(): void; onDone(): void }) {
  const t = useT();
  const [rule, setRule] = useState("");
  const [length, setLength] = useState("1h");
  const [busy, setBusy] = useState(false);
  const run = async () => {
    setBusy(true);
    try {
      await post("/alerts/mutes", { duration: length, ...(rule ? { rule } : {}) });
      onDone();
    } catch (e) {
      toastError(e);
      setBusy(false);
    }
  };
  return (
    <Dialog title={t("alerts.mute_title")} onClose={onClose} actions={<><Button onClick={onClose}>{t("common.cancel")}</Button><Button kind="primary" busy={busy} onClick={() => void run()}>{t("alerts.mute")}</Button></>}>
      <p className="muted">{t("alerts.mute_text")}</p>
      <Select label={t("alerts.mute_rule")} value={rule} onChange={(e) => setRule(e.target.value)}>
        <option value="">{t("alerts.mute_all")}</option>
        {rules.map((r) => <option key={r} value={r}>{r}</option>)}
      </Select>
      <Select label={t("alerts.mute_for")} value={length} onChange={(e) => setLength(e.target.value)}>
        {HOURS.map((n) => <option key={n} value={`${n}h`}>{t("alerts.hours", { n })}</option>)}
        {DAYS.map((n) => <option key={`d${n}`} value={`${n}d`}>{t("alerts.days", { n })}</option>)}
      </Select>
    </Dialog>
  );
}
