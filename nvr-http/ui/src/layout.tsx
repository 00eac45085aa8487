import { Ellipsis, KeyRound, Languages, LogOut, Moon, Sun, SunMoon, UserRound } from "lucide-react";
import type { ReactNode } from "react";
import { Link, useLocation } from "wouter";
import { useAlerts } from "./api/alerts";
import { online } from "./api/client";
import { logOut, may, session } from "./api/session";
import { Menu, type MenuItem } from "./components/menu";
import { toastError } from "./components/toast";
import { LANGUAGES, type Language, language, useT } from "./i18n";
import { useStore } from "./lib/store";
import { type Theme, theme } from "./lib/theme";
import { ROUTES } from "./pages/routes";
import { Logo } from "./components/logo";

/** How many pages the bar of a phone shows beside "more". */
const IN_BAR = 4;

/** Navigation at the side (desk) or at the bottom (phone), banners, and the page. */
export function Layout({ children }: { children: ReactNode }) {
  const t = useT();
  const who = useStore(session);
  const [location] = useLocation();
  const routes = ROUTES.filter((route) => may(route.role, who));
  const ringing = useAlerts().data?.active.filter((a) => !a.acknowledged && a.severity !== "info").length ?? 0;
  const link = (route: (typeof ROUTES)[number]) => {
    const here = route.path === "/" ? location === "/" : location.startsWith(route.path);
    return (
      <Link key={route.path} href={route.path} className="nav-link" aria-current={here ? "page" : undefined} title={t(route.title)}>
        <route.icon size={18} strokeWidth={1.75} aria-hidden />
        <span>{t(route.title)}</span>
        {route.path === "/alerts" && <Count n={ringing} />}
      </Link>
    );
  };
  return (
    <div className="layout">
      <a className="skip" href={`${location}#main`} onClick={(e) => {
        e.preventDefault();
        document.getElementById("main")?.focus();
      }}>{t("common.skip")}</a>
      <nav className="side" aria-label={t("common.nav")}>
        <div className="side-brand"><Logo size={22} /><span>nvr</span></div>
        <div className="side-links">{routes.map(link)}</div>
        <div className="side-end"><Account /></div>
      </nav>
      <main id="main" className="main" tabIndex={-1}>
        <Banners />
        <div className="page">{children}</div>
      </main>
      <nav className="bar" aria-label={t("common.nav")}>
        {routes.slice(0, IN_BAR).map(link)}
        <More routes={routes.slice(IN_BAR)} ringing={ringing} />
      </nav>
    </div>
  );
}

function Banners() {
  const t = useT();
  const who = useStore(session);
  const reachable = useStore(online);
  return (
    <>
      {!reachable && (
        <div className="banner banner-bad" role="alert">
          <b>{t("common.offline_title")}.</b> {t("common.offline_text")}
        </div>
      )}
      {who?.demo ? <div className="banner">{t("common.demo")}</div> : who?.auth === "none" && !isLoopback() && <div className="banner banner-warn">{t("common.open_auth")}</div>}
    </>
  );
}

const isLoopback = () => /^(localhost|.*\.localhost|127\..*|\[::1\])$/.test(location.hostname);

function usePreferences(): (MenuItem | "-")[] {
  const t = useT();
  const who = useStore(session);
  const tongue = useStore(language);
  const look = useStore(theme);
  const [, go] = useLocation();
  const looks: [Theme, typeof Sun][] = [["system", SunMoon], ["light", Sun], ["dark", Moon]];
  return [
    ...looks.map(([key, Icon]): MenuItem => ({ label: t(`common.theme_${key}`), icon: <Icon size={15} />, checked: look === key, onSelect: () => theme.set(key) })),
    "-",
    ...(Object.entries(LANGUAGES) as [Language, string][]).map(([key, label]): MenuItem => ({ label, icon: <Languages size={15} />, checked: tongue === key, onSelect: () => language.set(key) })),
    ...(who?.user ? (["-", { label: t("users.own"), icon: <KeyRound size={15} />, onSelect: () => go("/account") }, { label: t("common.log_out"), icon: <LogOut size={15} />, onSelect: () => void logOut().catch(toastError) }] as const) : []),
  ];
}

function Account() {
  const t = useT();
  const who = useStore(session);
  const items = usePreferences();
  return (
    <Menu align="start" items={items} button={{ kind: "ghost", icon: who?.user ? <UserRound size={17} /> : <SunMoon size={17} />, label: `${who?.user?.name ?? t("common.theme")}: ${t("common.account")}`, children: who?.user?.name ?? t("common.theme"), className: "side-account" }} />
  );
}

/** How many alerts there are that nobody knows of. */
function Count({ n }: { n: number }) {
  const t = useT();
  return n > 0 && <b className="nav-count" aria-label={t("alerts.bell", { n })}>{n > 99 ? "99+" : n}</b>;
}

function More({ routes, ringing }: { routes: typeof ROUTES; ringing: number }) {
  const t = useT();
  const [location, go] = useLocation();
  const preferences = usePreferences();
  const items = routes.map((route): MenuItem => ({ label: route.path === "/alerts" && ringing > 0 ? `${t(route.title)} (${ringing})` : t(route.title), icon: <route.icon size={16} />, onSelect: () => go(route.path) }));
  return <Menu items={[...items, "-", ...preferences]} button={{ kind: "ghost", icon: <Ellipsis size={18} />, children: <>{t("common.nav_more")}<Count n={ringing} /></>, className: "nav-link", "aria-current": routes.some((r) => location.startsWith(r.path)) ? "true" : undefined }} />;
}
