import { words } from "../words";

export const users = words({ title: "x" }, { title: "x" }, { title: "x" });
