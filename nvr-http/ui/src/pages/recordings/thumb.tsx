import { CloudDownload, FileX } from "lucide-react";
import { memo, useState } from "react";
import { url } from "~/api/client";

/** Address of a picture of a moment. */
export const pictureAt = (camera: string, at: string, width: number): string => url(`/cameras/${camera}/snapshot.jpg`, { at, width });

/** A small picture of a moment; a mark where there is none, and where getting one would mean fetching a file from elsewhere. */
export const Thumb = memo(function Thumb({ camera, at, state }: { camera: string; at: string; state?: string }) {
  const [gone, setGone] = useState(false);
  return (
    <span className="thumb">
      {state === "remote" ? <CloudDownload size={16} aria-hidden /> : gone || state === "missing" ? <FileX size={16} aria-hidden /> : <img src={pictureAt(camera, at, 192)} alt="" width={96} height={54} loading="lazy" decoding="async" onError={() => setGone(true)} />}
    </span>
  );
});
