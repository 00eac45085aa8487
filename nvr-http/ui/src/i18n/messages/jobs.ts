import { words } from "../words";

export const jobs = words({ title: "x" }, { title: "x" }, { title: "x" });
