import { createLowlight, all } from "lowlight";
const L=createLowlight(all);
for(const [n,b] of [["markdown","[a]("],["sql","/*"],["yaml","- "],["php","<?php "],["cpp","a<"]]) for (const N of [5000,10000,19000]){const t=b.repeat(N/b.length|0);const t0=process.cpuUsage().user;const h=L.highlight(n,t);let c=0;(function w(x){c++;(x.children||[]).forEach(w)})(h);console.log(n,N,(process.cpuUsage().user-t0)/1000,"nodes",c)}
