import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function StoragePage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_storage")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
