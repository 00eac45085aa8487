import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function SystemPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_system")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
