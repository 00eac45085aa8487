import { Link2Off } from "lucide-react";
import { useState } from "react";
import { useCameras } from "~/api/cameras";
import { ask, remove } from "~/api/client";
import type { AuditEntry, Share } from "~/api/manage";
import { useQuery } from "~/api/query";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Select, TextField } from "~/components/field";
import { Card, Empty, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, moment } from "~/lib/format";
import { usePages } from "~/lib/pages";

/** Links to footage that work without a login. */
export function Shares() {
  const t = useT();
  const cameras = useCameras();
  const shares = useQuery("shares", (signal) => ask<Share[] | { shares: Share[] }>("/shares", { signal }));
  const list = Array.isArray(shares.data) ? shares.data : shares.data?.shares;
  if (shares.error && !list) return <Card><Unavailable error={shares.error} what={t("users.absent")} onRetry={() => void shares.reload()} /></Card>;
  if (!list) return <div className="center"><Spinner /></div>;
  return (
    <Card title={t("users.shares")}>
      <p className="card-text muted">{t("users.shares_text")}</p>
      <Table
        caption={t("users.shares")}
        rows={list}
        rowKey={(s) => s.id}
        empty={<p className="card-text muted">{t("users.no_shares")}</p>}
        columns={[
          { key: "camera", label: t("common.camera"), sort: (s) => s.camera, cell: (s) => cameras.data?.find((c) => c.id === s.camera)?.name ?? s.camera },
          { key: "range", label: t("storage.range"), sort: (s) => s.from, cell: (s) => `${moment(s.from)} – ${moment(s.to)}` },
          { key: "user", label: t("users.by"), wideOnly: true, cell: (s) => s.user ?? "–" },
          { key: "expires", label: t("users.expires"), sort: (s) => s.expires, cell: (s) => <span title={moment(s.expires)}>{ago(s.expires)}</span> },
          { key: "do", label: <span className="hidden">{t("recordings.actions")}</span>, align: "end", cell: (s) => <Button size="small" icon={<Link2Off size={14} />} onClick={() => void remove(`/shares/${s.id}`).then(() => { toast(t("users.share_revoked")); void shares.reload(); }, toastError)}>{t("users.revoke_share")}</Button> },
        ]}
      />
    </Card>
  );
}

const ACTIONS = ["login", "login_failed", "logout", "watch", "play", "export", "share_view", "delete", "protect", "control", "job", "settings", "probe", "user", "token", "share", "backup", "detection"] as const;

/** Who saw, exported, deleted and changed what. */
export function Audit() {
  const t = useT();
  const cameras = useCameras();
  const [user, setUser] = useState("");
  const [action, setAction] = useState("");
  const log = usePages<AuditEntry>(`audit ${user} ${action}`, async (cursor, signal) => {
    const page = await ask<{ entries: AuditEntry[]; next: string | null }>("/audit", { signal, query: { limit: 100, user: user.trim() || null, action: action || null, cursor } });
    return { items: page.entries, next: page.next };
  });
  const name = (a: string) => { const known = ACTIONS.find((x) => x === a); return known ? t(`users.action_${known}`) : a; };
  if (log.error && !log.items.length) return <Card><Unavailable error={log.error} what={t("users.absent")} onRetry={log.reload} /></Card>;
  return (
    <Card title={t("users.audit")}>
      <div className="filters card-filters">
        <TextField label={t("users.name")} hideLabel type="search" placeholder={t("users.of_user")} value={user} onChange={(e) => setUser(e.target.value)} />
        <Select label={t("users.action")} hideLabel value={action} onChange={(e) => setAction(e.target.value)}>
          <option value="">{t("users.all_actions")}</option>
          {ACTIONS.map((a) => <option key={a} value={a}>{t(`users.action_${a}`)}</option>)}
        </Select>
      </div>
      <Table
        caption={t("users.audit")}
        rows={log.items.map((e, n) => ({ ...e, n }))}
        rowKey={(e) => `${e.at} ${e.n}`}
        empty={log.loading ? <div className="center"><Spinner /></div> : <Empty title={t("common.nothing")} />}
        columns={[
          { key: "at", label: t("system.time"), cell: (e) => <span className="nowrap">{moment(e.at)}</span> },
          { key: "user", label: t("users.who"), cell: (e) => e.user ?? <span className="muted">{t("users.nobody")}</span> },
          { key: "action", label: t("users.action"), cell: (e) => <span className={e.action === "login_failed" ? "tone-warn" : ""}>{name(e.action)}</span> },
          { key: "camera", label: t("common.camera"), cell: (e) => (e.camera ? (cameras.data?.find((c) => c.id === e.camera)?.name ?? e.camera) : "") },
          { key: "detail", label: t("storage.about"), cell: (e) => e.detail ?? "" },
          { key: "address", label: t("users.address"), wideOnly: true, cell: (e) => <code>{e.address ?? ""}</code> },
        ]}
      />
      {log.more && <div className="list-more"><Button busy={log.loading} onClick={log.loadMore}>{t("common.more")}</Button></div>}
    </Card>
  );
}
