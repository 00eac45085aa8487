import { PackageX } from "lucide-react";
import type { ReactNode } from "react";
import type { ApiError } from "~/api/client";
import { isAbsent } from "~/api/manage";
import { useT } from "~/i18n";
import { Empty, ErrorNote } from "./misc";

/** What is shown instead of something that could not be had: that this recorder does not have it, or the error. */
export function Unavailable({ error, what, onRetry }: { error: ApiError; what: ReactNode; onRetry?: () => void }) {
  const t = useT();
  if (error.status === 403) return <Empty title={t("common.not_allowed")}>{t("common.not_allowed_text")}</Empty>;
  if (!isAbsent(error)) return <ErrorNote error={error} {...(onRetry ? { onRetry } : {})} />;
  return (
    <Empty icon={<PackageX size={22} strokeWidth={1.5} aria-hidden />} title={t("common.absent_title")}>
      <p>{what}</p>
    </Empty>
  );
}
