import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function PrivacyPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_privacy")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
