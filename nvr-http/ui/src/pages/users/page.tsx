import { useLocation, useSearch } from "wouter";
import { PageHead } from "~/components/misc";
import { Tabs } from "~/components/tabs";
import { useT } from "~/i18n";
import { People } from "./people";
import { Audit, Shares } from "./records";
import { Tokens } from "./tokens";

const TABS = ["accounts", "tokens", "shares", "audit"] as const;
type Tab = (typeof TABS)[number];

export default function UsersPage() {
  const t = useT();
  const [, go] = useLocation();
  const asked = new URLSearchParams(useSearch()).get("tab");
  const tab: Tab = TABS.find((x) => x === asked) ?? "accounts";
  return (
    <>
      <PageHead title={t("common.nav_users")} />
      <Tabs<Tab> label={t("common.nav_users")} value={tab} onChange={(key) => go(`/users?tab=${key}`, { replace: true })} tabs={TABS.map((key) => ({ key, label: t(`users.${key}`) }))}>
        {tab === "accounts" ? <People /> : tab === "tokens" ? <Tokens /> : tab === "shares" ? <Shares /> : <Audit />}
      </Tabs>
    </>
  );
}
