import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function RecordingsPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_recordings")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
