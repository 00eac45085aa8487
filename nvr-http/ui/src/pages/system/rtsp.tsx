import { ask } from "~/api/client";
import { useQuery } from "~/api/query";
import type { Camera } from "~/api/types";
import { Card } from "~/components/misc";
import { Table } from "~/components/table";
import { useT } from "~/i18n";
import { bytes, moment, number } from "~/lib/format";

interface Reader {
  id: number;
  camera: string;
  stream: "main" | "sub";
  user: string | null;
  address: string | null;
  transport: string;
  since: string;
  bytes: number;
  frames_lost: number;
}

/** Who reads cameras over RTSP, where the recorder serves them. */
export function Rtsp({ cameras }: { cameras: Camera[] }) {
  const t = useT();
  const server = useQuery("rtsp", (signal) => ask<{ enabled: boolean; url: string | null; clients: Reader[] }>("/rtsp", { signal }), { every: 5000 });
  if (!server.data?.enabled) return null;
  const named = server.data.clients.some((c) => c.address);
  return (
    <Card title={t("system.rtsp")}>
      <p className="card-text muted">{t("system.rtsp_about", { url: server.data.url ?? "" })}</p>
      <Table
        caption={t("system.rtsp")}
        rows={server.data.clients}
        rowKey={(c) => c.id}
        empty={<p className="card-text muted">{t("system.rtsp_nobody")}</p>}
        columns={[
          { key: "camera", label: t("common.camera"), sort: (c) => c.camera, cell: (c) => <>{cameras.find((o) => o.id === c.camera)?.name ?? c.camera}{c.stream === "sub" && <span className="muted"> · sub</span>}</> },
          ...(named ? [{ key: "who", label: t("system.rtsp_who"), cell: (c: Reader) => <div className="two-lines"><span>{c.user ?? "–"}</span><span className="muted">{c.address}</span></div> }] : []),
          { key: "transport", label: t("system.rtsp_transport"), wideOnly: true, cell: (c) => c.transport.toUpperCase() },
          { key: "since", label: t("system.rtsp_since"), sort: (c) => c.since, cell: (c) => moment(c.since) },
          { key: "bytes", label: t("system.rtsp_sent"), align: "end", sort: (c) => c.bytes, cell: (c) => bytes(c.bytes) },
          { key: "lost", label: t("system.rtsp_lost"), align: "end", wideOnly: true, cell: (c) => number(c.frames_lost) },
        ]}
      />
    </Card>
  );
}
