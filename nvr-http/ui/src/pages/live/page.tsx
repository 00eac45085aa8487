import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function LivePage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_live")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
