import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function TimelinePage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_timeline")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
