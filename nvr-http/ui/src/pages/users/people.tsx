import { Pencil, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { ApiError, ask, patch, post, remove, wordsOf } from "~/api/client";
import type { User } from "~/api/manage";
import { useQuery } from "~/api/query";
import { MIN_PASSWORD, session } from "~/api/session";
import type { Role } from "~/api/types";
import { Unavailable } from "~/components/absent";
import { Button } from "~/components/button";
import { Dialog } from "~/components/dialog";
import { Select, TextField } from "~/components/field";
import { Badge, Card, Spinner } from "~/components/misc";
import { Table } from "~/components/table";
import { toast, toastError } from "~/components/toast";
import { useT } from "~/i18n";
import { ago, moment } from "~/lib/format";
import { useStore } from "~/lib/store";
import { CameraChoice, useCameraNames } from "./access";

const ROLES: Role[] = ["viewer", "operator", "admin"];

export function People() {
  const t = useT();
  const who = useStore(session);
  const names = useCameraNames();
  const [editing, setEditing] = useState<User | "new" | null>(null);
  const [removing, setRemoving] = useState<User | null>(null);
  const users = useQuery("users", (signal) => ask<User[] | { users: User[] }>("/users", { signal }));
  const list = Array.isArray(users.data) ? users.data : users.data?.users;
  if (users.error && !list) return <Card><Unavailable error={users.error} what={t("users.absent")} onRetry={() => void users.reload()} /></Card>;
  if (!list) return <div className="center"><Spinner /></div>;
  const done = () => {
    setEditing(null);
    setRemoving(null);
    void users.reload();
  };
  return (
    <Card title={t("users.accounts")} tools={<Button size="small" kind="primary" icon={<Plus size={14} />} onClick={() => setEditing("new")}>{t("users.add")}</Button>}>
      {who?.auth === "none" && <p className="card-text">{t("users.no_login")}</p>}
      <Table
        caption={t("users.accounts")}
        rows={list}
        rowKey={(u) => u.name}
        empty={<p className="card-text muted">{t("users.none")}</p>}
        columns={[
          { key: "name", label: t("users.name"), sort: (u) => u.name, cell: (u) => <span className="row nowrap"><b>{u.name}</b>{u.name === who?.user?.name && <span className="tag">{t("users.you")}</span>}{u.locked_until && Date.parse(u.locked_until) > Date.now() && <Badge tone="warn">{t("users.locked", { time: moment(u.locked_until) })}</Badge>}</span> },
          { key: "role", label: t("users.role"), sort: (u) => u.role, cell: (u) => t(`users.role_${u.role}`) },
          { key: "cameras", label: t("common.cameras"), wideOnly: true, cell: (u) => names(u.cameras) },
          { key: "last", label: t("users.last_login"), wideOnly: true, sort: (u) => u.last_login ?? "", cell: (u) => (u.last_login ? ago(u.last_login) : t("common.never")) },
          {
            key: "do",
            label: <span className="hidden">{t("recordings.actions")}</span>,
            align: "end",
            cell: (u) => (
              <span className="row nowrap end-row">
                <Button kind="ghost" size="small" icon={<Pencil size={14} />} label={t("users.edit", { name: u.name })} onClick={() => setEditing(u)} />
                <Button kind="ghost" size="small" icon={<Trash2 size={14} />} label={t("users.remove", { name: u.name })} onClick={() => setRemoving(u)} />
              </span>
            ),
          },
        ]}
      />
      {editing && <EditUser user={editing === "new" ? null : editing} onClose={() => setEditing(null)} onDone={done} />}
      {removing && (
        <Dialog title={t("users.remove", { name: removing.name })} onClose={() => setRemoving(null)} actions={<><Button onClick={() => setRemoving(null)}>{t("common.cancel")}</Button><Button kind="danger" onClick={() => void remove(`/users/${encodeURIComponent(removing.name)}`).then(done, toastError)}>{t("common.delete")}</Button></>}>
          <p>{t("users.remove_text")}</p>
        </Dialog>
      )}
    </Card>
  );
}

function EditUser({ user, onClose, onDone }: { user: User | null; onClose(): void; onDone(): void }) {
  const t = useT();
  const [form, setForm] = useState({ name: user?.name ?? "", password: "", role: user?.role ?? ("viewer" as Role), cameras: user ? user.cameras : null });
  const [errors, setErrors] = useState<Record<string, string>>({});
  const [busy, setBusy] = useState(false);
  const save = async () => {
    const wrong: Record<string, string> = {};
    if (!user && !/^[a-z0-9._@-]{1,64}$/.test(form.name)) wrong["name"] = t("users.name_hint");
    if (form.password ? form.password.length < MIN_PASSWORD : !user) wrong["password"] = t("common.setup_short");
    setErrors(wrong);
    if (Object.keys(wrong).length) return;
    setBusy(true);
    try {
      const part = { role: form.role, cameras: form.cameras, ...(form.password ? { password: form.password } : {}) };
      if (user) await patch(`/users/${encodeURIComponent(user.name)}`, part);
      else await post("/users", { name: form.name, ...part });
      toast(t("users.saved", { name: form.name }));
      onDone();
    } catch (e) {
      setBusy(false);
      setErrors({ all: e instanceof ApiError ? wordsOf(e) || t("common.offline_title") : String(e) });
    }
  };
  return (
    <Dialog title={user ? t("users.edit", { name: user.name }) : t("users.add")} onClose={onClose} actions={<><Button onClick={onClose}>{t("common.cancel")}</Button><Button kind="primary" busy={busy} onClick={() => void save()}>{t("common.save")}</Button></>}>
      {!user && <TextField label={t("users.name")} hint={t("users.name_hint")} autoComplete="off" value={form.name} error={errors["name"]} onChange={(e) => setForm({ ...form, name: e.target.value.toLowerCase() })} />}
      <TextField label={t("common.login_password")} type="password" autoComplete="new-password" hint={user ? t("users.password_keep") : undefined} value={form.password} error={errors["password"]} onChange={(e) => setForm({ ...form, password: e.target.value })} />
      <Select label={t("users.role")} hint={t(`users.about_${form.role}`)} value={form.role} onChange={(e) => setForm({ ...form, role: e.target.value as Role })}>
        {ROLES.map((role) => <option key={role} value={role}>{t(`users.role_${role}`)}</option>)}
      </Select>
      <CameraChoice value={form.cameras} onChange={(cameras) => setForm({ ...form, cameras })} />
      {errors["all"] && <p className="note note-bad" role="alert">{errors["all"]}</p>}
    </Dialog>
  );
}
