import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function SettingsPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_settings")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
