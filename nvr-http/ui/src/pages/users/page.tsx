import { Empty, PageHead } from "~/components/misc";
import { useT } from "~/i18n";

export default function UsersPage() {
  const t = useT();
  return (
    <>
      <PageHead title={t("common.nav_users")} />
      <Empty title={t("common.soon")} />
    </>
  );
}
