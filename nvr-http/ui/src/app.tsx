import { type ReactNode, Suspense, lazy, useEffect, useLayoutEffect, useState } from "react";
import { Route, Router, Switch, useLocation } from "wouter";
import { online } from "./api/client";
import { loadSession, may, session } from "./api/session";
import { Boundary } from "./components/boundary";
import { Empty, Spinner } from "./components/misc";
import { Toasts } from "./components/toast";
import { language, useT } from "./i18n";
import { Layout } from "./layout";
import { BASE_PATH } from "./lib/base";
import { useStore } from "./lib/store";
import { Login } from "./pages/login";
import { ROUTES } from "./pages/routes";
import { Setup } from "./pages/setup";
import { Share } from "./pages/share";

const AccountPage = lazy(() => import("./pages/account/page"));

export function App() {
  return (
    <Router base={BASE_PATH}>
      <Boundary>
        <Switch>
          <Route path="/setup"><Setup /></Route>
          <Route path="/share/:token">{({ token }) => <Share token={token} />}</Route>
          <Route><LoggedIn /></Route>
        </Switch>
      </Boundary>
      <Toasts />
    </Router>
  );
}

/** The pages, once it is known who looks. */
function LoggedIn() {
  const t = useT();
  const who = useStore(session);
  const reachable = useStore(online);
  const [tries, setTries] = useState(0);
  useEffect(() => {
    if (who) return;
    let timer: ReturnType<typeof setTimeout>;
    loadSession().catch(() => {
      timer = setTimeout(() => setTries((n) => n + 1), 1500);
    });
    return () => clearTimeout(timer);
  }, [who, tries]);

  if (!who) {
    return <div className="center">{reachable ? <Spinner /> : <Empty title={t("common.offline_title")}>{t("common.offline_text")}</Empty>}</div>;
  }
  if (who.auth === "accounts" && !who.user) return <Login setup={who.setup} sso={who.sso ?? null} />;
  return (
    <Layout>
      <Pages />
    </Layout>
  );
}

function Pages() {
  const t = useT();
  const who = useStore(session);
  useStore(language);
  return (
    <Switch>
      {ROUTES.filter((route) => may(route.role, who)).map(({ path, title, page: Page }) => (
        <Route key={path} path={path}>
          <Titled title={t(title)}>
            <Page />
          </Titled>
        </Route>
      ))}
      {who?.user && (
        <Route path="/account">
          <Titled title={t("users.own")}>
            <AccountPage />
          </Titled>
        </Route>
      )}
      <Route>
        <Empty title={t("common.not_found")}>{t("common.not_found_text")}</Empty>
      </Route>
    </Switch>
  );
}

/** A page with its title, on its own when it breaks, and read from the top by screen readers. */
function Titled({ title, children }: { title: string; children: ReactNode }) {
  const [location] = useLocation();
  // Before the effects of the page, which may know a title that says more.
  useLayoutEffect(() => {
    document.title = `${title} · nvr`;
  }, [title]);
  return (
    <Boundary key={location}>
      <Suspense fallback={<div className="center"><Spinner /></div>}>{children}</Suspense>
    </Boundary>
  );
}
