import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function JobsPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_jobs")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
